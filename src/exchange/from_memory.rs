//! Can memory stand in for the inner service?

use std::sync::Arc;

use bytes::Bytes;
use http::Response;

use crate::{
    exchange::{
        Exchange, MethodKind,
        request::{FieldEdit, IncomingRequest, Plan, must_bypass},
    },
    header::range::Part,
    manifest::FileIndex,
    memory::{Key, Selection, SelectionRef, StoredResponse, Variant},
    snapshot::Snapshot,
};

/// What memory has for a request.
pub(super) enum LookUp {
    Hit(Hit),
    /// Nothing yet, but the response may be stored.
    Miss(Selection),
    /// Nothing, and the response may not be stored.
    Bypass,
}

/// A response in place of the inner service's.
pub(super) enum Hit {
    /// The whole file, for a request without conditions.
    Whole(Arc<StoredResponse>),
    /// A part, or a response that is still subject to conditions.
    Other(Response<Bytes>),
}

impl Hit {
    pub(super) fn into_plan(self, exchange: Exchange) -> Plan {
        let response = match self {
            Self::Whole(stored) => stored.edited(|whole| exchange.on_stored_response(whole)),
            Self::Other(response) => exchange.on_stored_response(response),
        };
        Plan::Respond(Some(response))
    }
}

impl IncomingRequest<'_> {
    /// Looks up what the inner service would send for the edited request.
    pub(super) fn look_up(&self, snapshot: &Snapshot, fields: &FieldEdit) -> LookUp {
        let Some(memory) = snapshot.memory() else { return LookUp::Bypass };
        let Some((file, part)) = self.storable(snapshot, fields) else { return LookUp::Bypass };
        let get = |coding| memory.get(Key { file, variant: Variant { coding } });
        let hit = |stored: Option<Arc<StoredResponse>>| {
            stored
                .and_then(|stored| stored.part(part))
                .map_or(LookUp::Bypass, |response| LookUp::Hit(Hit::Other(response)))
        };
        if let FieldEdit::Strip(stripped) = fields
            && let Some(coding) = stripped.coding
        {
            return hit(get(coding));
        }
        let wanted = SelectionRef::of(file, self.head.headers);
        let Some(wanted) = wanted else { return LookUp::Bypass };
        match (memory.selected(wanted).and_then(get), part, fields) {
            (Some(stored), Part::Whole, FieldEdit::Keep) => LookUp::Hit(Hit::Whole(stored)),
            (None, Part::Whole, _) => LookUp::Miss(wanted.to_selection()),
            (stored, ..) => hit(stored),
        }
    }

    /// Returns the file, and the part of it that was requested, if it may come from memory.
    /// Only under a URL that stands for its content can its bytes not change.
    fn storable(&self, snapshot: &Snapshot, fields: &FieldEdit) -> Option<(FileIndex, Part)> {
        let (index, file) = self.below.file.filter(|_| self.names_content(snapshot))?;
        if self.fields.authorization
            || self.head.uri.query().is_some()
            || must_bypass(file, snapshot)
            || self.accepts_stale_coding()
        {
            return None;
        }
        let part = match (self.method, fields) {
            (MethodKind::Options | MethodKind::Other, _) => return None,
            (MethodKind::Head, _) => Part::Head,
            (MethodKind::Get, FieldEdit::Strip(stripped)) => stripped.range.part()?,
            (MethodKind::Get, FieldEdit::Keep | FieldEdit::DropRange) => Part::Whole,
        };
        Some((index, part))
    }
}
