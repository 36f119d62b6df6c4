//! What events take from the context when nobody hands anything over: those that the log writes
//! about captured rows and about itself.

use super::Texts;
use crate::context::Context;
use crate::error::Error;
use crate::privacy::{self, AddressToken};
use activity_log_core::record::{self as limits};
use std::borrow::Cow;

/// Who acts, in which request, from where: for one tenant, within the limits, free of secrets.
///
/// What is too long is cut, not refused: the statement that is recorded did not give it.
pub struct Background {
    pub tenant_id: [u8; 16],
    pub actor_type: Option<String>,
    pub actor_id: Option<String>,
    pub request_id: Option<String>,
    pub address: Option<AddressToken>,
    pub user_agent: Option<String>,
}

impl Background {
    /// Where nothing of the context can be used.
    pub fn nobody(tenant_id: [u8; 16]) -> Self {
        Self {
            tenant_id,
            actor_type: None,
            actor_id: None,
            request_id: None,
            address: None,
            user_agent: None,
        }
    }

    pub fn of(context: &Context, tenant_id: [u8; 16]) -> Result<Self, Error> {
        let texts = Texts {
            tenant_id: &tenant_id,
        };
        let cut = |text: &Option<String>, limit: usize| {
            text.as_deref()
                .map(|text| limits::cut(text, limit).to_owned())
        };
        let identifier = |text: &Option<String>| -> Result<Option<String>, Error> {
            let text = cut(text, limits::MAX_IDENTIFIER);
            Ok(texts
                .identifier("context", text.as_deref())?
                .map(Cow::into_owned))
        };
        let kind = cut(&context.actor_type, limits::MAX_TYPE);
        Ok(Self {
            actor_type: texts.kind("context", kind.as_deref())?.map(Cow::into_owned),
            actor_id: identifier(&context.actor_id)?,
            request_id: identifier(&context.request_id)?,
            address: context
                .client_ip
                .map(|ip| privacy::address_token(&tenant_id, ip))
                .transpose()?,
            user_agent: texts
                .user_agent(context.user_agent.as_deref())?
                .map(Cow::into_owned),
            tenant_id,
        })
    }
}
