// Server-sent events: a tenant's log, live, and resumed where a client left off; and a page for it.
//
// GET /events    Authorization: Bearer TOKEN, or the cookie that POST /session sets
//                Last-Event-ID: where the client left off (browsers send it by themselves)
//                ?minutes=60: without Last-Event-ID, begin with the events of the last hour
// GET /          the page
// GET /session   {"tenant_id": ...} of who is signed in, else 401
// POST /session  token=TOKEN, from the page's form
//
// The environment says DATABASE_URL, TOKENS, a JSON object {"token": "tenant"}, and PORT.
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import http from 'node:http'
import { text } from 'node:stream/consumers'
import { messages } from './messages.js'

const tenants = new Map(Object.entries(JSON.parse(process.env.TOKENS)))
const files = { '/': 'page.html', '/page.js': 'page.js', '/page.css': 'page.css' }
const types = { html: 'text/html', js: 'text/javascript', css: 'text/css' }
// The page shows text from elsewhere. It never makes markup of it; were it to, nothing would run.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; " +
  "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// From what the server trusts, never from what the client says about itself.
function tenantOf({ headers }) {
  const [, bearer] = /^bearer (.+)$/i.exec(headers.authorization ?? '') ?? []
  const [, cookie] = /(?:^|; *)token=([^;]*)/.exec(headers.cookie ?? '') ?? []
  return tenants.get(bearer ?? cookie)
}

function answer(response, status, body, headers = {}) {
  response.writeHead(status, { 'Content-Type': 'text/plain; charset=utf-8', ...headers }).end(body)
}

async function sendEvents(request, response, { searchParams }) {
  const tenant = tenantOf(request)
  if (!tenant) return answer(response, 401, 'unknown token\n')
  const minutes = searchParams.get('minutes')
  if (!/^\d{0,6}$/.test(minutes ?? '')) return answer(response, 400, 'minutes must be a number\n')
  // nginx would hold the messages back without the last one.
  response.writeHead(200, {
    'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store', 'X-Accel-Buffering': 'no'
  })
  const gone = new AbortController()
  response.on('close', () => gone.abort())
  const start = { cursor: request.headers['last-event-id'], minutes }
  try {
    for await (const message of messages(tenant, start, gone.signal)) {
      if (!response.write(message)) await once(response, 'drain', { signal: gone.signal })
    }
    response.end()
  } catch (error) {
    if (!gone.signal.aborted) throw error
  }
}

async function sendFile(response, name) {
  const body = await readFile(new URL(`page/${name}`, import.meta.url))
  const type = `${types[name.split('.').pop()]}; charset=utf-8`
  answer(response, 200, body, {
    'Content-Type': type, 'Content-Security-Policy': policy, 'X-Content-Type-Options': 'nosniff'
  })
}

function sendSession(request, response) {
  const tenant = tenantOf(request)
  if (!tenant) return answer(response, 401, 'unknown token\n')
  answer(response, 200, JSON.stringify({ tenant_id: tenant }), { 'Content-Type': 'application/json' })
}

// Behind TLS add "Secure" to the cookie.
async function signIn(request, response) {
  const token = new URLSearchParams(await text(request)).get('token')
  if (!tenants.has(token)) return answer(response, 401, 'unknown token\n')
  answer(response, 303, '', {
    Location: '/', 'Set-Cookie': `token=${token}; HttpOnly; SameSite=Strict; Path=/`
  })
}

async function handle(request, response) {
  const url = new URL(request.url, 'http://localhost')
  const route = `${request.method} ${url.pathname}`
  if (route === 'GET /events') return sendEvents(request, response, url)
  if (route === 'GET /session') return sendSession(request, response)
  if (route === 'POST /session') return signIn(request, response)
  if (request.method === 'GET' && Object.hasOwn(files, url.pathname)) {
    return sendFile(response, files[url.pathname])
  }
  answer(response, 404, 'not found\n')
}

const server = http.createServer((request, response) => {
  handle(request, response).catch(error => {
    console.error(error)
    response.destroy()
  })
})
server.listen(process.env.PORT ?? 8080, '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${server.address().port}/`)
})
