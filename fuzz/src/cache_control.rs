//! `Cache-Control` as RFC 9111 §5.2 has it, and what becomes of one.

use http::{HeaderMap, header};

/// `name[=argument]`, the name in lower case.
type Directive = (Vec<u8>, Option<Vec<u8>>);

/// The members of a list field (RFC 9110 §5.6.1), over all its lines.
pub(crate) fn members(headers: &HeaderMap, name: header::HeaderName) -> Vec<Vec<u8>> {
    let mut members = Vec::new();
    for line in headers.get_all(name) {
        let (mut member, mut is_quoted, mut is_escaped) = (Vec::new(), false, false);
        for &byte in line.as_bytes() {
            if byte == b',' && !is_quoted {
                members.push(std::mem::take(&mut member));
                continue;
            }
            member.push(byte);
            if is_escaped {
                is_escaped = false;
            } else if byte == b'"' {
                is_quoted = !is_quoted;
            } else {
                is_escaped = byte == b'\\' && is_quoted;
            }
        }
        members.push(member);
    }
    let members = members.iter().map(|member| member.trim_ascii().to_vec());
    members.filter(|member| !member.is_empty()).collect()
}

fn directives(headers: &HeaderMap) -> Vec<Directive> {
    let members = members(headers, header::CACHE_CONTROL).into_iter();
    let directives = members.map(|member| match member.iter().position(|&byte| byte == b'=') {
        None => (member.to_ascii_lowercase(), None),
        Some(at) => (member[..at].to_ascii_lowercase(), Some(member[at + 1..].to_vec())),
    });
    directives.collect()
}

pub(crate) fn has_directive(headers: &HeaderMap, wanted: &str) -> bool {
    directives(headers).iter().any(|(name, _)| name == wanted.as_bytes())
}

/// Whether a response is for one client or one occasion alone.
pub(crate) fn is_personal(headers: &HeaderMap) -> bool {
    headers.contains_key(header::SET_COOKIE)
        || members(headers, header::VARY).iter().any(|member| member == b"*")
        || has_directive(headers, "private")
        || has_directive(headers, "no-store")
}

/// For how many seconds a copy may be used without asking; 0 where it may be kept, and
/// nothing where it may not. Where no lifetime is said, the cache chooses one (§4.2.2).
fn usable(headers: &HeaderMap) -> Option<u64> {
    let directives = directives(headers);
    let seconds = |names: &[&str]| {
        let found =
            directives.iter().filter(|(name, _)| names.iter().any(|it| name == it.as_bytes()));
        // Who does not know the number may take any.
        found.map(|(_, argument)| number(argument.as_deref()).unwrap_or(u64::MAX)).max()
    };
    let has = |wanted: &[u8]| directives.iter().any(|(name, _)| name == wanted);
    // One for shared caches alone leaves it to the others to choose one.
    let lifetime = seconds(&["max-age"]).and_then(|_| seconds(&["max-age", "s-maxage"]));
    let grace = seconds(&["stale-while-revalidate", "stale-if-error"]).unwrap_or(0);
    match lifetime {
        _ if has(b"no-store") => None,
        // With an argument it is about those fields alone.
        _ if directives.contains(&(b"no-cache".into(), None)) => Some(0),
        Some(0) if has(b"must-revalidate") => Some(0),
        Some(lifetime) => Some(lifetime.saturating_add(grace).max(1)),
        None => Some(u64::MAX),
    }
}

fn number(argument: Option<&[u8]>) -> Option<u64> {
    let text = str::from_utf8(argument?).ok()?;
    let unquoted = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    let digits = unquoted.unwrap_or(text);
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// Without what lets a shared cache keep it.
fn for_one_client(headers: &HeaderMap) -> String {
    let members = members(headers, header::CACHE_CONTROL).into_iter().zip(directives(headers));
    let stays = |name: &[u8]| ![&b"public"[..], b"s-maxage", b"private"].contains(&name);
    let kept = members.filter(|(_, (name, _))| stays(name));
    let kept = kept.map(|(member, _)| String::from_utf8_lossy(&member).into_owned());
    ["private".to_owned()].into_iter().chain(kept).collect::<Vec<_>>().join(", ")
}

/// When what the inner service says of caching stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stays {
    Always,
    /// If it is at least as strict; of what is personal nothing need be said.
    IfStrict,
    /// If it is at least as strict.
    OnlyIfStrict,
}

/// One of the layer's policies, and what gives way to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    pub(crate) ours: &'static str,
    pub(crate) stays: Stays,
}

/// Fields that some caches heed more.
pub(crate) const TARGETED: [&str; 4] =
    ["cdn-cache-control", "cloudflare-cdn-cache-control", "surrogate-control", "x-accel-expires"];

impl Rule {
    /// Whether `answer` says what it has to, of a response of which the inner service has
    /// said `inner`.
    pub(crate) fn is_kept(
        self,
        inner: &HeaderMap,
        answer: &HeaderMap,
        is_authorized: bool,
    ) -> bool {
        let is_always = self.stays == Stays::Always;
        if !is_always && TARGETED.iter().any(|name| answer.contains_key(*name)) {
            return false;
        }
        let lines = |headers: &HeaderMap| {
            let lines = headers.get_all(header::CACHE_CONTROL).iter();
            lines.map(|line| line.as_bytes().to_vec()).collect::<Vec<_>>()
        };
        let (said, answered) = (lines(inner), lines(answer));
        if said.is_empty() {
            let is_left_alone = is_personal(inner) && self.stays != Stays::OnlyIfStrict;
            let ours = if is_authorized { self.private_if_public() } else { self.ours.into() };
            return answered == if is_left_alone { vec![] } else { vec![ours.into_bytes()] };
        }
        if !is_always && usable(inner) > self.usable() {
            // What is for one client stays so, and gets no lifetime for others.
            let is_lasting = self.usable() > Some(0);
            let is_private = has_directive(inner, "private") || (is_personal(inner) && is_lasting);
            let ours = match is_private {
                true => self.private(),
                false if is_authorized => self.private_if_public(),
                false => self.ours.into(),
            };
            return answered == [ours.into_bytes()];
        }
        let is_shared = ["public", "s-maxage"].iter().any(|it| has_directive(inner, it));
        if is_authorized && is_shared && !has_directive(inner, "no-store") {
            return answered == [for_one_client(inner).into_bytes()];
        }
        answered == said
    }

    fn usable(self) -> Option<u64> {
        match self.ours {
            "no-store" => None,
            "no-cache" => Some(0),
            ours => ours.rsplit("max-age=").next()?.split(',').next()?.parse().ok(),
        }
    }

    /// For a client that has said who it is.
    fn private_if_public(self) -> String {
        self.ours.replace("public", "private")
    }

    /// For a response that is one client's.
    fn private(self) -> String {
        match self.ours {
            "no-cache" => "private, no-cache".into(),
            _ => self.private_if_public(),
        }
    }
}
