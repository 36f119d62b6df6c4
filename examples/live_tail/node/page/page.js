// A live tail of one tenant's events. The browser's EventSource connects again by itself and says
// where it left off; what is shown is made of text, never of markup.

const kept = 1000
const find = selector => document.querySelector(selector)
const [list, state, count, action, actor] =
  ['#events', '#state', '#count', '#action', '#actor'].map(find)
let shown = 0

function tell(name) {
  state.dataset.state = name
  state.textContent = name
}

// "auth.*" is a prefix, as in read_stream(); anything else is a part of the name.
function matches(text, wanted) {
  const sought = wanted.trim().toLowerCase()
  const found = (text ?? '').toLowerCase()
  return sought.endsWith('*') ? found.startsWith(sought.slice(0, -1)) : found.includes(sought)
}

const fits = ({ action: name, actor: who }) => matches(name, action.value) && matches(who, actor.value)

function summarise() {
  const total = list.children.length
  count.textContent = shown === total ? `${total} events` : `${shown} of ${total} events`
  find('#nothing').hidden = shown > 0
}

function filter() {
  shown = 0
  for (const item of list.children) {
    item.hidden = !fits(item.dataset)
    if (!item.hidden) shown++
  }
  summarise()
}

function itemOf(event) {
  const item = find('#event').content.cloneNode(true).firstElementChild
  const write = (selector, text) => { item.querySelector(selector).textContent = text }
  item.dataset.action = event.action
  item.dataset.actor = event.actor_id ?? ''
  item.dataset.status = event.status
  item.dataset.eventId = event.event_id
  write('time', new Date(event.occurred_at).toLocaleTimeString())
  item.querySelector('time').dateTime = event.occurred_at
  write('.action', event.action)
  write('.actor', event.actor_id ?? event.actor_type ?? '')
  write('.object', [event.object_type, event.object_id].filter(Boolean).join(' '))
  write('.status', event.status === 'success' ? '' : event.status)
  const { next_cursor: _, ...columns } = event
  write('pre', JSON.stringify(columns, null, 2))
  return item
}

function show({ data }) {
  const item = itemOf(JSON.parse(data))
  item.hidden = !fits(item.dataset)
  if (!item.hidden) shown++
  list.prepend(item)
  if (list.children.length > kept) {
    if (!list.lastElementChild.hidden) shown--
    list.lastElementChild.remove()
  }
  summarise()
}

function follow() {
  const source = new EventSource('events?minutes=60')
  find('#refusal').hidden = true
  source.onopen = () => tell('live')
  source.onerror = () => tell(source.readyState === EventSource.CLOSED ? 'closed' : 'reconnecting')
  source.onmessage = show
  // Trying again is of no use, and the page must not skip events silently: the reader decides.
  source.addEventListener('refused', ({ data }) => {
    source.close()
    tell('closed')
    find('#refusal span').textContent = JSON.parse(data).message
    find('#refusal').hidden = false
  })
}

find('#refusal button').addEventListener('click', () => {
  list.replaceChildren()
  filter()
  follow()
})
for (const input of [action, actor]) input.addEventListener('input', filter)

const session = await fetch('session')
if (session.ok) {
  find('#tenant').textContent = (await session.json()).tenant_id
  find('#feed').hidden = false
  summarise()
  follow()
} else {
  tell('signed out')
  find('#sign-in').hidden = false
}
