//! Writes `jsonb` as the server does: enough for tests, numbers by their decimal text.
use serde_json::Value;

const OBJECT: u32 = 0x2000_0000;
const ARRAY: u32 = 0x4000_0000;
const SCALAR: u32 = 0x1000_0000;
const HAS_OFFSET: u32 = 0x8000_0000;
const LENGTH: u32 = 0x0FFF_FFFF;

/// A container of the server for `value`; `{"$number": "1e400"}` is a number by its text.
pub fn container(value: &Value) -> Vec<u8> {
    match value {
        Value::Array(items) => assemble(ARRAY, items.len(), items.iter()),
        Value::Object(members) if !members.contains_key("$number") => object(members),
        scalar => assemble(ARRAY | SCALAR, 1, [scalar].into_iter()),
    }
}

fn object(members: &serde_json::Map<String, Value>) -> Vec<u8> {
    let mut sorted: Vec<(&String, &Value)> = members.iter().collect();
    sorted.sort_by_key(|(name, _)| (name.len(), name.as_bytes()));
    let names: Vec<Value> = sorted
        .iter()
        .map(|(name, _)| name.as_str().into())
        .collect();
    let values = sorted.iter().map(|(_, value)| *value);
    assemble(OBJECT, sorted.len(), names.iter().chain(values))
}

fn assemble<'a>(flags: u32, count: usize, values: impl Iterator<Item = &'a Value>) -> Vec<u8> {
    let (mut entries, mut data) = (Vec::new(), Vec::new());
    for (index, value) in values.enumerate() {
        let start = data.len();
        let kind = write(value, &mut data);
        let field = if index % 32 == 0 {
            HAS_OFFSET | u32::try_from(data.len()).unwrap()
        } else {
            u32::try_from(data.len() - start).unwrap()
        };
        assert_eq!(field & !HAS_OFFSET & !LENGTH, 0);
        entries.extend_from_slice(&(kind | field).to_ne_bytes());
    }
    let header = flags | u32::try_from(count).unwrap();
    [header.to_ne_bytes().to_vec(), entries, data].concat()
}

fn write(value: &Value, data: &mut Vec<u8>) -> u32 {
    match value {
        Value::Null => 0x4000_0000,
        Value::Bool(value) => 0x2000_0000 + u32::from(*value) * 0x1000_0000,
        Value::String(text) => {
            data.extend_from_slice(text.as_bytes());
            0
        }
        Value::Number(number) => aligned(data, &numeric(&number.to_string()), 0x1000_0000),
        Value::Object(members) if members.contains_key("$number") => {
            let text = members["$number"].as_str().unwrap();
            aligned(data, &numeric(text), 0x1000_0000)
        }
        nested => aligned(data, &container(nested), 0x5000_0000),
    }
}

fn aligned(data: &mut Vec<u8>, bytes: &[u8], kind: u32) -> u32 {
    data.resize(data.len().next_multiple_of(4), 0);
    data.extend_from_slice(bytes);
    kind
}

fn numeric(text: &str) -> Vec<u8> {
    let (sign, text) = text
        .strip_prefix('-')
        .map_or((0, text), |rest| (0x4000, rest));
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent: i32 = exponent.parse().unwrap();
    let mut digits = format!("{whole}{fraction}");
    let mut point = i32::try_from(whole.len()).unwrap() + exponent;
    while point.rem_euclid(4) != 0 {
        digits.insert(0, '0');
        point += 1;
    }
    while digits.len() % 4 != 0 {
        digits.push('0');
    }
    let mut groups: Vec<i16> = digits
        .as_bytes()
        .chunks(4)
        .map(|c| str::from_utf8(c).unwrap().parse().unwrap())
        .collect();
    let mut weight = point / 4 - 1;
    while groups.first() == Some(&0) {
        groups.remove(0);
        weight -= 1;
    }
    while groups.last() == Some(&0) {
        groups.pop();
    }
    let (sign, weight) = if groups.is_empty() {
        (0, 0)
    } else {
        (sign, weight)
    };
    let scale = (i32::try_from(fraction.len()).unwrap() - exponent).max(0);
    let mut out = u32::to_ne_bytes(u32::try_from(8 + 2 * groups.len()).unwrap() << 2).to_vec();
    out.extend_from_slice(&(sign | u16::try_from(scale).unwrap()).to_ne_bytes());
    out.extend_from_slice(&i16::try_from(weight).unwrap().to_ne_bytes());
    groups
        .iter()
        .for_each(|group| out.extend_from_slice(&group.to_ne_bytes()));
    out
}
