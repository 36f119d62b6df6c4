//! The closed list of rules by which a secret can be found.

macro_rules! rules {
    ($($(#[$documentation:meta])* $variant:ident => $name:literal,)+) => {
        /// Why something was replaced; its name stands in the replacement.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Rule {
            $($(#[$documentation])* $variant,)+
        }

        impl Rule {
            /// The name of every rule.
            pub(super) const NAMES: &[&str] = &[$($name),+];

            /// The name that stands in the replacement.
            pub(super) fn name(self) -> &'static str {
                match self {
                    $(Rule::$variant => $name,)+
                }
            }
        }
    };
}

rules! {
    Password => "password",
    Secret => "secret",
    Token => "token",
    ApiKey => "api_key",
    PrivateKey => "private_key",
    AccessKey => "access_key",
    Authorization => "authorization",
    Cookie => "cookie",
    Session => "session",
    Credential => "credential",
    OneTimeCode => "one_time_code",
    CardNumber => "card_number",
    CardCode => "card_code",
    SocialSecurityNumber => "social_security_number",
    Pin => "pin",
    Mnemonic => "mnemonic",
    ConnectionString => "connection_string",
    Signature => "signature",
    /// A key name of the setting `activity.redact_keys`.
    ConfiguredKey => "configured_key",
    AwsAccessKey => "aws_access_key",
    AwsSecretKey => "aws_secret_key",
    AwsSessionToken => "aws_session_token",
    GithubToken => "github_token",
    GitlabToken => "gitlab_token",
    SlackToken => "slack_token",
    StripeKey => "stripe_key",
    GoogleKey => "google_key",
    OpenaiKey => "openai_key",
    AnthropicKey => "anthropic_key",
    NpmToken => "npm_token",
    PypiToken => "pypi_token",
    SendgridKey => "sendgrid_key",
    TwilioKey => "twilio_key",
    /// A token of another service, told by its prefix.
    VendorToken => "vendor_token",
    Jwt => "jwt",
    Bearer => "bearer",
    Basic => "basic",
    ConnectionPassword => "connection_password",
    /// A percent-encoded value that holds a secret once it is decoded.
    Encoded => "encoded",
    /// A value nested too deeply to be looked through.
    Nesting => "nesting",
}
