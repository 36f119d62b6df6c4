//! Which keys hold secrets or addresses, told by their names.
//!
//! English compounds name the thing last, so a key holds a secret if its name *ends* in the name
//! of a secret: `userPassword`, `refresh_token`, `X-Api-Key`. What follows the secret's name
//! makes it another thing: `password_changed_at`, `token_count`, `tokenType`, `token_id`,
//! `credentialType`, `passwordEnabled` and `cookie_policy_accepted` stay readable. The exceptions
//! to that are listed here: tails after which the value still is the secret (`password_hash`,
//! `token_value`, `password2`), and names that end like a secret but are none (`next_page_token`).
//!
//! The longest name that fits decides. A key that begins with a verb or a preposition
//! (`has_password`, `require_pin`) asks a question; its answer stays if it is one (a truth value
//! such as `true`, `"yes"` or `1`), while any other value is taken for the secret itself.

use super::replacement::is_replacement;
use super::rule::Rule;
use super::suffixes::{Full, Suffixes};

/// What the name of a key says about its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyClass {
    Ordinary,
    Address,
    Secret(Rule, Values),
}

/// The values under a secret's key that are secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Values {
    /// Every value.
    All,
    /// Every value but booleans: `pin: true` is an order to pin.
    NoBooleans,
    /// Texts only, and no text of digits: `tokens: 412` counts, `pass: 12` too.
    Texts,
}

/// Where in the key the name must begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Edge {
    /// Anywhere: `dbpassword`.
    Anywhere,
    /// At the beginning of a word: `card_pin`, `cardPin`, not `spin`.
    Word,
    /// At the beginning of the key.
    Key,
}

#[derive(Clone, Copy, Debug)]
struct Name {
    edge: Edge,
    class: KeyClass,
}

/// Names of secrets and addresses, ready to be compared with keys.
#[derive(Debug)]
pub(super) struct Names {
    configured: Suffixes<()>,
    known: Suffixes<Name>,
    tails: Suffixes<()>,
}

/// Why the names could not be taken.
#[derive(Debug)]
pub(super) enum NamesError {
    /// The configured name at this place (from 0) has neither letter nor digit.
    EmptyName(usize),
    /// There are too many configured names.
    TooMany,
}

impl From<Full> for NamesError {
    fn from(_: Full) -> Self {
        Self::TooMany
    }
}

impl Names {
    /// The default names, and configured ones, which must fit the whole of a key.
    pub(super) fn new(configured_names: &[&str]) -> Result<Self, NamesError> {
        let mut configured = Suffixes::new();
        for (ordinal, name) in configured_names.iter().enumerate() {
            if !configured.insert(name, ())? {
                return Err(NamesError::EmptyName(ordinal));
            }
        }
        let mut known = Suffixes::new();
        for (class, edge, names) in KNOWN {
            for name in *names {
                known.insert(
                    name,
                    Name {
                        edge: *edge,
                        class: *class,
                    },
                )?;
            }
        }
        let mut tails = Suffixes::new();
        for tail in TAILS {
            tails.insert(tail, ())?;
        }
        Ok(Self {
            configured,
            known,
            tails,
        })
    }

    /// What the name of `key` says about its value.
    pub(super) fn classify(&self, key: &str) -> KeyClass {
        if self
            .configured
            .matches(key)
            .any(|found| begins(key, found.start, Edge::Key))
        {
            return KeyClass::Secret(Rule::ConfiguredKey, Values::All);
        }
        self.known_class(key)
            .or_else(|| self.class_before_tail(key))
            .unwrap_or(KeyClass::Ordinary)
    }

    fn known_class(&self, key: &str) -> Option<KeyClass> {
        let names = self.known.matches(key);
        let fitting = names.filter(|found| begins(key, found.start, found.value.edge));
        fitting.last().map(|found| found.value.class)
    }

    fn class_before_tail(&self, key: &str) -> Option<KeyClass> {
        let mut heads = self
            .tails
            .matches(key)
            .filter_map(|tail| key.get(..tail.start));
        heads.find_map(|head| match self.known_class(head) {
            Some(class @ KeyClass::Secret(..)) => Some(class),
            _ => None,
        })
    }
}

/// A value as far as it matters whether it is a secret.
#[derive(Clone, Copy, Debug)]
pub(super) enum Node<'a> {
    Null,
    Boolean,
    /// A number; 0 and 1 may be truth values.
    Number {
        is_bit: bool,
    },
    Text(&'a str),
    Container {
        is_empty: bool,
    },
}

/// The rule by which a value must be hidden because of its key, if there is one.
///
/// What hides nothing stays: null, empty texts and containers, and what has been replaced before.
pub(super) fn rule_of_key(key: &str, class: KeyClass, node: Node<'_>) -> Option<Rule> {
    let KeyClass::Secret(rule, values) = class else {
        return None;
    };
    let stays = match node {
        Node::Null => true,
        Node::Boolean => values != Values::All || asks(key),
        Node::Number { is_bit } => values == Values::Texts || is_bit && asks(key),
        Node::Container { is_empty } => is_empty || values == Values::Texts,
        Node::Text(text) => {
            text.is_empty()
                || is_replacement(text)
                || is_answer(text) && asks(key)
                || values == Values::Texts && is_number(text)
        }
    };
    (!stays).then_some(rule)
}

/// Whether `key` asks a question about a secret rather than holding it.
fn asks(key: &str) -> bool {
    let key = key.trim_start_matches(|first: char| !first.is_ascii_alphanumeric());
    QUESTIONS.iter().any(|word| {
        let head = key.get(..word.len()).unwrap_or_default();
        let next = key.as_bytes().get(word.len()).copied();
        head.eq_ignore_ascii_case(word)
            && next.is_some_and(|next| is_separator(next) || begins(key, word.len(), Edge::Word))
    })
}

fn is_answer(text: &str) -> bool {
    ANSWERS
        .iter()
        .any(|answer| answer.eq_ignore_ascii_case(text))
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_separator(byte: u8) -> bool {
    byte.is_ascii() && !byte.is_ascii_alphanumeric()
}

/// Whether a name that begins at `start` of `key` begins at `edge`.
fn begins(key: &str, start: usize, edge: Edge) -> bool {
    let (before, name) = key.as_bytes().split_at_checked(start).unwrap_or_default();
    match edge {
        Edge::Anywhere => true,
        Edge::Key => before.iter().copied().all(is_separator),
        Edge::Word => match (before.last(), name) {
            (None, _) => true,
            (Some(last), _) if is_separator(*last) => true,
            (Some(last), [first, ..]) if !last.is_ascii_uppercase() => first.is_ascii_uppercase(),
            (Some(_), [first, second, ..]) => {
                first.is_ascii_uppercase() && second.is_ascii_lowercase()
            }
            _ => false,
        },
    }
}

const fn secret(rule: Rule) -> KeyClass {
    KeyClass::Secret(rule, Values::All)
}

const KNOWN: &[(KeyClass, Edge, &[&str])] = &[
    (
        secret(Rule::Password),
        Edge::Anywhere,
        &[
            "password",
            "passwords",
            "passwd",
            "passphrase",
            "passcode",
            "pwd",
            "passwort",
            "kennwort",
            "wachtwoord",
            "contraseña",
            "contrasena",
            "motdepasse",
            "dbpass",
            "databasepass",
            "userpass",
            "smtppass",
            "mysqlpass",
            "redispass",
            "pgpass",
            "proxypass",
            "adminpass",
            "rootpass",
            "loginpass",
            "mailpass",
            "ftppass",
        ],
    ),
    (
        KeyClass::Secret(Rule::Password, Values::Texts),
        Edge::Key,
        &["pass"],
    ),
    (secret(Rule::Password), Edge::Word, &["senha"]),
    (secret(Rule::Secret), Edge::Anywhere, &["secret", "secrets"]),
    (
        secret(Rule::Token),
        Edge::Anywhere,
        &[
            "token",
            "accesstokens",
            "refreshtokens",
            "authtokens",
            "sessiontokens",
            "apitokens",
            "bearertokens",
            "samlresponse",
            "samlassertion",
            "clientassertion",
        ],
    ),
    (secret(Rule::Token), Edge::Word, &["jwt", "bearer"]),
    (
        KeyClass::Secret(Rule::Token, Values::Texts),
        Edge::Word,
        &["tokens"],
    ),
    (
        // Places in a listing, idempotency keys and a switch of cloud machines.
        KeyClass::Ordinary,
        Edge::Anywhere,
        &[
            "nexttoken",
            "pagetoken",
            "previoustoken",
            "continuationtoken",
            "synctoken",
            "nextforwardtoken",
            "nextbackwardtoken",
            "clientrequesttoken",
            "idempotencytoken",
            "cancellationtoken",
            "httptokens",
            "numtokens",
            "maxtokens",
        ],
    ),
    (
        secret(Rule::ApiKey),
        Edge::Anywhere,
        &[
            "apikey",
            "apikeys",
            "secretkey",
            "secretkeys",
            "authkey",
            "encryptionkey",
            "decryptionkey",
            "masterkey",
            "signingkey",
            "sharedkey",
            "accountkey",
            "storagekey",
            "sessionkey",
            "hmackey",
            "servicekey",
            "licensekey",
        ],
    ),
    (
        secret(Rule::PrivateKey),
        Edge::Anywhere,
        &["privatekey", "privatekeys", "privkey", "keymaterial"],
    ),
    (
        secret(Rule::AccessKey),
        Edge::Anywhere,
        &["accesskey", "accesskeys", "accesskeyid", "accesskeyids"],
    ),
    (
        secret(Rule::Authorization),
        Edge::Key,
        &[
            "authorization",
            "proxyauthorization",
            "xauthorization",
            "httpauthorization",
            "xforwardedauthorization",
            "headersauthorization",
            "authheader",
            "basicauth",
        ],
    ),
    (secret(Rule::Cookie), Edge::Anywhere, &["cookie", "cookies"]),
    (
        secret(Rule::Session),
        Edge::Anywhere,
        &["sessionid", "sessionids", "sessid", "connectsid"],
    ),
    (
        secret(Rule::Credential),
        Edge::Anywhere,
        &["credential", "credentials"],
    ),
    (secret(Rule::Credential), Edge::Word, &["creds"]),
    (
        secret(Rule::OneTimeCode),
        Edge::Word,
        &["otp", "totp", "hotp"],
    ),
    (
        secret(Rule::OneTimeCode),
        Edge::Anywhere,
        &[
            "otpcode",
            "mfacode",
            "2facode",
            "twofactorcode",
            "verificationcode",
            "authcode",
            "authorizationcode",
            "recoverycode",
            "recoverycodes",
            "backupcode",
            "backupcodes",
            "onetimecode",
            "smscode",
            "devicecode",
            "resetcode",
        ],
    ),
    (secret(Rule::CardNumber), Edge::Word, &["pan"]),
    (
        secret(Rule::CardNumber),
        Edge::Anywhere,
        &[
            "cardnumber",
            "creditcard",
            "cardno",
            "ccnumber",
            "ccnum",
            "primaryaccountnumber",
        ],
    ),
    (
        secret(Rule::CardCode),
        Edge::Word,
        &["cvv", "cvc", "cvv2", "cvc2"],
    ),
    (
        secret(Rule::CardCode),
        Edge::Anywhere,
        &["securitycode", "cardverificationvalue"],
    ),
    (secret(Rule::SocialSecurityNumber), Edge::Word, &["ssn"]),
    (
        secret(Rule::SocialSecurityNumber),
        Edge::Anywhere,
        &[
            "socialsecuritynumber",
            "socialsecurity",
            "socialinsurancenumber",
        ],
    ),
    (
        KeyClass::Secret(Rule::Pin, Values::NoBooleans),
        Edge::Word,
        &["pin", "pincode", "pinnumber"],
    ),
    (
        secret(Rule::Mnemonic),
        Edge::Anywhere,
        &[
            "mnemonic",
            "mnemonicphrase",
            "seedphrase",
            "recoveryphrase",
            "walletseed",
        ],
    ),
    (
        secret(Rule::ConnectionString),
        Edge::Anywhere,
        &["connectionstring", "connstring", "connstr"],
    ),
    (
        secret(Rule::Signature),
        Edge::Anywhere,
        &["xamzsignature", "xgoogsignature", "sharedaccesssignature"],
    ),
    (
        // Only what is an address is replaced in these values, so that `zip` does no harm.
        KeyClass::Address,
        Edge::Anywhere,
        &[
            "ip",
            "ips",
            "ipv4",
            "ipv6",
            "addr",
            "addrs",
            "address",
            "addresses",
            "forwardedfor",
            "forwarded",
            "remotehost",
            "clienthost",
            "peer",
            "xff",
            "ipset",
            "ipsset",
            "addressesset",
            "hops",
            "client",
            "remote",
        ],
    ),
];

/// After these the value still is the secret, or is derived from it.
const TAILS: &[&str] = &[
    "hash",
    "digest",
    "salt",
    "plain",
    "plaintext",
    "text",
    "value",
    "values",
    "string",
    "binary",
    "confirm",
    "confirmation",
    "again",
    "repeat",
    "repeated",
    "old",
    "new",
    "current",
    "encrypted",
    "base64",
    "b64",
    "hex",
    "raw",
    "pem",
    "data",
    "header",
    "1",
    "2",
    "3",
];

const QUESTIONS: &[&str] = &[
    "has", "have", "had", "is", "was", "were", "are", "do", "does", "did", "can", "could",
    "should", "must", "may", "will", "use", "uses", "used", "using", "require", "requires",
    "required", "need", "needs", "allow", "allows", "allowed", "enable", "enables", "enabled",
    "disable", "disables", "disabled", "force", "forces", "include", "includes", "show", "hide",
    "support", "supports", "accept", "accepts", "accepted", "reject", "rejects", "skip", "with",
    "without", "no", "not", "missing", "generate", "rotate", "reset", "store", "stores", "save",
    "remember", "send", "sends", "want", "wants",
];

const ANSWERS: &[&str] = &[
    "true", "false", "yes", "no", "on", "off", "t", "f", "y", "n", "0", "1", "enabled", "disabled",
    "optional", "required",
];
