//! What a method and a path ask for; each thing has one path.

use hyper::{Method, StatusCode};

use super::{
    Answer, PREFIX,
    admission::{Place, Unknown},
    refused,
};
use crate::{http::Right, rpc::admin::list_request::What, wording::Instant};

/// Longest path and query: a key of 64 digits, or a tenant, cluster and site of 64 bytes each.
const MAX_PATH_BYTES: usize = 512;

/// One thing that can be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// What the API says of itself; for everybody.
    OpenApi,
    /// A list.
    List(What),
    /// What an approval of a tenant would cover.
    Dossier(String),
    /// How a tenant stood at an instant, by what was known then and by what was known at another.
    At(String, When),
    /// What happened to a tenant and to the parties of its dossier.
    History(String),
    /// Where the next statement of the officer with this key stands.
    Head(Vec<u8>),
    /// Statements that officers signed.
    Statements,
    /// What a tenant signed against what is said of it.
    Objection,
    /// A file that a statement to come names.
    Exhibit,
    /// May this tenant?
    Check,
    /// May this pod?
    Admission(Place),
}

/// An instant, and by what was known: milliseconds since 1970, or now where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct When {
    pub(super) at: Option<u64>,
    pub(super) known: Option<u64>,
}

/// The lists, each with the last part of its path.
pub(super) const LISTS: [(&str, What); 15] = [
    ("hosts", What::Hosts),
    ("relays", What::Relays),
    ("tenants", What::Tenants),
    ("parties", What::Parties),
    ("edges", What::Edges),
    ("bindings", What::Bindings),
    ("officers", What::Officers),
    ("keys", What::Keys),
    ("findings", What::Findings),
    ("tried", What::Tried),
    ("figures", What::Figures),
    ("lists", What::Lists),
    ("hits", What::Hits),
    ("declared", What::Declared),
    ("packs", What::Packs),
];

impl Route {
    pub(super) fn parse(method: &Method, path: &str, query: &str) -> Result<Self, Answer> {
        let nothing = || {
            refused(
                StatusCode::NOT_FOUND,
                "no such path; GET /v1/openapi.json says which there are",
            )
        };
        let rest = path.strip_prefix(PREFIX).ok_or_else(nothing)?;
        if path.len() + query.len() > MAX_PATH_BYTES {
            return Err(nothing());
        }
        let parts: Vec<&str> = rest.split('/').collect();
        let route = match parts.as_slice() {
            ["openapi.json"] => Self::OpenApi,
            ["statements"] => Self::Statements,
            ["objections"] => Self::Objection,
            ["exhibits"] => Self::Exhibit,
            ["check"] => Self::Check,
            ["admission"] => Self::Admission(place(query)?),
            ["tenants", tenant, "dossier"] if !tenant.is_empty() => {
                Self::Dossier((*tenant).to_owned())
            }
            ["tenants", tenant, "history"] if !tenant.is_empty() => {
                Self::History((*tenant).to_owned())
            }
            ["tenants", tenant] if !tenant.is_empty() => {
                Self::At((*tenant).to_owned(), when(query)?)
            }
            ["officers", key, "head"] => Self::Head(hex(key).ok_or_else(nothing)?),
            [name] => {
                let list = LISTS.iter().find(|(list, _)| list == name);
                Self::List(list.ok_or_else(nothing)?.1)
            }
            _ => return Err(nothing()),
        };
        let due = if route.takes_a_body() {
            Method::POST
        } else {
            Method::GET
        };
        if *method != due {
            let why = format!("send a {due}");
            return Err(refused(StatusCode::METHOD_NOT_ALLOWED, &why));
        }
        if !query.is_empty() && !matches!(route, Self::Admission(_) | Self::At(..)) {
            return Err(refused(StatusCode::BAD_REQUEST, "this path takes no query"));
        }
        Ok(route)
    }

    pub(super) fn takes_a_body(&self) -> bool {
        matches!(
            self,
            Self::Statements | Self::Objection | Self::Exhibit | Self::Check | Self::Admission(_)
        )
    }

    pub(super) fn right(&self) -> Right {
        match self {
            Self::OpenApi
            | Self::List(_)
            | Self::Dossier(_)
            | Self::At(..)
            | Self::History(_)
            | Self::Head(_) => Right::Read,
            Self::Statements | Self::Exhibit => Right::Submit,
            Self::Objection => Right::Object,
            Self::Check | Self::Admission(_) => Right::Ask,
        }
    }
}

/// Reads where the pods of a webhook run. Values are plain: letters, digits, `-`, `.`, `_`.
fn place(query: &str) -> Result<Place, Answer> {
    let mut place = Place::default();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let wrong = |why: &str| Err(refused(StatusCode::BAD_REQUEST, &format!("{pair}: {why}")));
        let Some((key, value)) = pair.split_once('=') else {
            return wrong("is not KEY=VALUE");
        };
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
        if value.is_empty() || value.len() > 64 || !value.bytes().all(plain) {
            return wrong("the value is not 1 to 64 of letters, digits, `-`, `.`, `_`");
        }
        match (key, value) {
            ("cluster", _) => place.cluster = value.to_owned(),
            ("site", _) => place.site = value.to_owned(),
            ("unknown", "allow") => place.unknown = Unknown::Allow,
            ("unknown", "deny") => place.unknown = Unknown::Deny,
            ("unknown", _) => return wrong("is neither allow nor deny"),
            _ => return wrong("the query has cluster, site and unknown"),
        }
    }
    Ok(place)
}

/// Reads an instant, and by what was known; a colon may be spelled out, as clients do.
fn when(query: &str) -> Result<When, Answer> {
    let mut when = When::default();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let wrong = |why: &str| Err(refused(StatusCode::BAD_REQUEST, &format!("{pair}: {why}")));
        let Some((key, value)) = pair.split_once('=') else {
            return wrong("is not KEY=VALUE");
        };
        let value = value.replace("%3A", ":").replace("%3a", ":");
        let read = match Instant::parse(&value) {
            Ok(read) => read.at(),
            Err(why) => return wrong(&why),
        };
        match key {
            "at" => when.at = read,
            "known" => when.known = read,
            _ => return wrong("the query has at and known"),
        }
    }
    Ok(when)
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.chunks(2).map(pair).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn parse(method: Method, path: &str, query: &str) -> Result<Route, StatusCode> {
        Route::parse(&method, path, query).map_err(|refused| refused.status)
    }

    #[test]
    fn each_thing_has_one_method_and_path() {
        let key = "ab".repeat(32);
        assert_eq!(
            parse(Method::GET, "/v1/tenants", ""),
            Ok(Route::List(What::Tenants))
        );
        let dossier = Route::Dossier("acme".into());
        assert_eq!(
            parse(Method::GET, "/v1/tenants/acme/dossier", ""),
            Ok(dossier)
        );
        let head = parse(Method::GET, &format!("/v1/officers/{key}/head"), "");
        assert_eq!(head, Ok(Route::Head(vec![0xab; 32])));
        let asked = parse(
            Method::POST,
            "/v1/admission",
            "cluster=c-1&site=hall.2&unknown=deny",
        );
        let place = Place {
            cluster: "c-1".into(),
            site: "hall.2".into(),
            unknown: Unknown::Deny,
        };
        assert_eq!(asked, Ok(Route::Admission(place)));
        let at = |query: &str| parse(Method::GET, "/v1/tenants/acme", query);
        let when = |at, known| Ok(Route::At("acme".into(), When { at, known }));
        assert_eq!(at(""), when(None, None));
        assert_eq!(at("at=now"), when(None, None));
        let day = Some(86_400_000);
        assert_eq!(
            at("at=1970-01-02T00%3A00:00Z&known=86400000000"),
            when(day, Some(86_400_000_000))
        );
        let history = Route::History("acme".into());
        assert_eq!(
            parse(Method::GET, "/v1/tenants/acme/history", ""),
            Ok(history)
        );
        for (method, path, query, status) in [
            (Method::GET, "/v1/tenants/acme", "at=yesterday", 400),
            (Method::GET, "/v1/tenants/acme", "when=now", 400),
            (Method::GET, "/v1/tenants/", "", 404),
            (Method::GET, "/v1/tenants/acme/history", "at=now", 400),
            (Method::GET, "/v1/", "", 404),
            (Method::GET, "/v1/../log/lock", "", 404),
            (Method::GET, "/v1/officers/abc/head", "", 404),
            (Method::GET, "/v1/statements", "", 405),
            (Method::DELETE, "/v1/tenants", "", 405),
            (Method::POST, "/v1/check", "tenant=a", 400),
            (Method::POST, "/v1/admission", "site=a%20b", 400),
            (Method::POST, "/v1/admission", "unknown=maybe", 400),
            (Method::POST, "/v1/admission", "sites=a", 400),
        ] {
            let refused = parse(method, path, query).unwrap_err();
            assert_eq!(refused.as_u16(), status, "{path}?{query}");
        }
    }

    #[test]
    fn the_document_names_every_path_and_no_other() {
        let document: serde_json::Value = serde_json::from_str(super::super::OPENAPI).unwrap();
        let mut named: Vec<String> = Vec::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            let real = path
                .replace("{tenant}", "acme")
                .replace("{key}", &"ab".repeat(32));
            for (method, what) in item.as_object().unwrap() {
                let method: Method = method.to_ascii_uppercase().parse().unwrap();
                let route = parse(method, &real, "").unwrap();
                let scope = what["security"][0]["token"][0].as_str();
                let due = (route != Route::OpenApi).then(|| route.right().to_string());
                assert_eq!(scope.map(str::to_owned), due, "{path}");
                assert_eq!(
                    what["requestBody"].is_object(),
                    route.takes_a_body(),
                    "{path}"
                );
            }
            named.push(path.clone());
        }
        let lists = LISTS.iter().map(|(name, _)| format!("/v1/{name}"));
        for list in lists {
            assert!(named.contains(&list), "{list}");
        }
        assert_eq!(named.len(), LISTS.len() + 10);
    }
}
