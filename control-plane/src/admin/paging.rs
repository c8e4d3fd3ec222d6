//! Pages of lists: by the key of the last row seen, so that what is added or removed meanwhile shifts nothing.
use ekiden_proto::admin::v1 as admin;
use prost::Message;
use uuid::Uuid;

use super::call::Call;
use crate::{error::Error, page::PageScope};

/// Rows of a page when the caller does not say.
const DEFAULT_SIZE: i32 = 100;
/// Most rows of a page.
const MAX_SIZE: i32 = 1000;

/// A request for a page of a list.
pub(crate) trait Paged: Message + Clone {
    fn page_size(&self) -> i32;
    fn page_token(&self) -> &str;
    /// The request with size and token cleared: what must stay the same from page to page.
    fn without_page(&self) -> Self;
}

/// Key of the last row of a page.
pub(crate) trait Cursor: Sized {
    fn to_bytes(&self) -> Vec<u8>;
    fn from_bytes(bytes: &[u8]) -> Option<Self>;
}

/// The page that a call asks for.
pub(crate) struct Page<C> {
    size: usize,
    /// The list goes on after this key.
    pub(crate) after: Option<C>,
}

impl<C> Page<C> {
    /// Rows to read: one more than the page has, to know whether another follows.
    pub(crate) fn limit(&self) -> i64 {
        i64::try_from(self.size).map_or(i64::MAX, |size| size + 1)
    }
}

impl<M: Paged> Call<M> {
    /// The page that is asked for.
    pub(crate) fn page<C: Cursor>(&self) -> Result<Page<C>, Error> {
        let size = match self.request.page_size() {
            0 => DEFAULT_SIZE,
            size => size.min(MAX_SIZE),
        };
        let size = usize::try_from(size).map_err(|_| {
            Error::invalid("page_size", "it is negative; 0 means 100, at most 1,000")
        })?;
        let request = self.request.without_page().encode_to_vec();
        let after = self.app.page_tokens.read(&self.scope(&request), self.request.page_token())?;
        let after = after.map(|bytes| {
            C::from_bytes(&bytes)
                .ok_or_else(|| Error::invalid("page_token", "it is of another list"))
        });
        Ok(Page { size, after: after.transpose()? })
    }

    /// Cuts the rows to the page and gives the token of the next; empty when this was the last.
    pub(crate) fn cut<C: Cursor, T>(
        &self,
        page: &Page<C>,
        mut rows: Vec<T>,
        key: impl FnOnce(&T) -> C,
    ) -> Result<(Vec<T>, String), Error> {
        if rows.len() <= page.size {
            return Ok((rows, String::new()));
        }
        rows.truncate(page.size);
        let Some(last) = rows.last() else { return Ok((rows, String::new())) };
        let request = self.request.without_page().encode_to_vec();
        let token = self.app.page_tokens.issue(&self.scope(&request), &key(last).to_bytes())?;
        Ok((rows, token))
    }

    fn scope<'a>(&'a self, request: &'a [u8]) -> PageScope<'a> {
        PageScope { method: &self.caller.method, request, tenant: self.caller.tenant.as_deref() }
    }
}

impl Cursor for String {
    fn to_bytes(&self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Self::from_utf8(bytes.to_vec()).ok()
    }
}

/// A tenant's id and the id of something of it; neither has a slash.
impl Cursor for (String, String) {
    fn to_bytes(&self) -> Vec<u8> {
        format!("{}/{}", self.0, self.1).into_bytes()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (tenant, id) = std::str::from_utf8(bytes).ok()?.split_once('/')?;
        Some((tenant.to_owned(), id.to_owned()))
    }
}

/// A relay's tenant, fleet and id.
impl Cursor for (String, String, Uuid) {
    fn to_bytes(&self) -> Vec<u8> {
        format!("{}/{}/{}", self.0, self.1, self.2).into_bytes()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut parts = std::str::from_utf8(bytes).ok()?.split('/');
        let (tenant, fleet, relay) = (parts.next()?, parts.next()?, parts.next()?);
        Some((tenant.to_owned(), fleet.to_owned(), Uuid::try_parse(relay).ok()?))
    }
}

impl Cursor for Uuid {
    fn to_bytes(&self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Self::from_slice(bytes).ok()
    }
}

impl Cursor for i64 {
    fn to_bytes(&self) -> Vec<u8> {
        self.to_be_bytes().to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self::from_be_bytes)
    }
}

macro_rules! paged {
    ($($request:ident),+ $(,)?) => {$(
        impl Paged for admin::$request {
            fn page_size(&self) -> i32 {
                self.page_size
            }

            fn page_token(&self) -> &str {
                &self.page_token
            }

            fn without_page(&self) -> Self {
                let mut request = self.clone();
                request.page_size = 0;
                request.page_token.clear();
                request
            }
        }
    )+};
}

paged!(
    ListTenantsRequest,
    ListAccessKeysRequest,
    ListCollectorsRequest,
    ListFleetsRequest,
    ListRevisionsRequest,
    ListEnrollmentRulesRequest,
    ListEnrollmentTokensRequest,
    ListApiTokensRequest,
    ListCertificateAuthoritiesRequest,
    ListAuditEventsRequest,
    ListAuditHeadsRequest,
    ListRelaysRequest,
    ListHealthReportsRequest,
);
