//! How is a manifest written as JSON? A build step writes it, and a server reads it.

use std::fmt;

use data_encoding::HEXLOWER;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, MapAccess, Visitor},
};

use crate::{
    Error, ErrorKind,
    manifest::{Details, FileInfo, Manifest, siblings::Relation},
};

const FORMAT: u32 = 1;

/// No system has longer files, and no disk more bytes. Whoever adds lengths need not fear an
/// overflow.
const LONGEST: u64 = i64::MAX as u64;

/// The whole JSON text.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: u32,
    digest: String,
    files: Listing,
}

/// What documents of every format have.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// The files in the order of the text. A path may occur twice here; the manifest refuses that.
struct Listing(Vec<(Box<str>, File)>);

/// Unknown fields are ignored: a later version of the crate may write more of them.
#[derive(Serialize, Deserialize)]
struct File {
    sha256: String,
    length: u64,
    /// What it is to the file whose pre-compressed sibling it is by its name.
    #[serde(default, skip_serializing_if = "Sibling::counts")]
    sibling: Sibling,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Sibling {
    #[default]
    Counts,
    Stale,
    Unrelated,
}

impl Sibling {
    fn counts(&self) -> bool {
        *self == Self::Counts
    }
}

impl From<Relation> for Sibling {
    fn from(relation: Relation) -> Self {
        match relation {
            Relation::Sibling => Self::Counts,
            Relation::Stale => Self::Stale,
            Relation::Unrelated => Self::Unrelated,
        }
    }
}

impl From<Sibling> for Relation {
    fn from(sibling: Sibling) -> Self {
        match sibling {
            Sibling::Counts => Self::Sibling,
            Sibling::Stale => Self::Stale,
            Sibling::Unrelated => Self::Unrelated,
        }
    }
}

impl Manifest {
    /// Reads a manifest that [`to_json`](Self::to_json) has written, and checks its tree
    /// digest.
    ///
    /// # Errors
    ///
    /// - [`InvalidManifest`](ErrorKind::InvalidManifest): the text is not JSON, has another
    ///   format, a malformed SHA-256, an absurd length, or a digest that is not that of its files.
    /// - [`InvalidPath`](ErrorKind::InvalidPath): a path is not relative and plain, or is
    ///   listed twice.
    /// - [`EmptyManifest`](ErrorKind::EmptyManifest): there is no file.
    pub fn from_json(json: impl AsRef<[u8]>) -> Result<Self, Error> {
        let invalid = |error| Error::invalid_json("not a manifest in JSON", error);
        // Another format may differ in everything else.
        let Format { format } = serde_json::from_slice(json.as_ref()).map_err(invalid)?;
        check_format(format)?;
        serde_json::from_slice::<Document>(json.as_ref()).map_err(invalid)?.try_into()
    }

    /// Returns the manifest as JSON, for [`from_json`](Self::from_json). The same files give
    /// the same text. Modification times are left out; see [JSON](Self#json).
    pub fn to_json(&self) -> String {
        let json = serde_json::to_string_pretty(&Document::of(self));
        json.expect("texts and numbers can always be written as JSON")
    }
}

impl Document {
    fn of(manifest: &Manifest) -> Self {
        let file = |info: &FileInfo| File {
            sha256: HEXLOWER.encode(info.sha256()),
            length: info.length(),
            sibling: info.relation().into(),
        };
        let files = manifest.iter().map(|(path, info)| (path.into(), file(info)));
        Self { format: FORMAT, digest: manifest.digest_hex(), files: Listing(files.collect()) }
    }
}

impl TryFrom<Document> for Manifest {
    type Error = Error;

    fn try_from(
        Document { format, digest, files: Listing(files) }: Document,
    ) -> Result<Self, Error> {
        let invalid = |message: String| Error::new(ErrorKind::InvalidManifest, message);
        check_format(format)?;
        let mut total = 0_u64;
        let files = files.into_iter().map(|(path, file)| {
            total = total.saturating_add(file.length);
            if total > LONGEST {
                return Err(invalid(format!("path {path:?} has a length that no file has")));
            }
            let info = file.parse();
            let info = info.ok_or_else(|| invalid(format!("path {path:?} has no SHA-256")))?;
            Ok((path, info))
        });
        let manifest = Self::from_listing(files.collect::<Result<Vec<_>, Error>>()?)?;
        if manifest.digest_hex() != digest {
            let actual = manifest.digest_hex();
            let message =
                format!("manifest digest {digest:?} is not that of its files, {actual:?}");
            return Err(invalid(message));
        }
        Ok(manifest)
    }
}

fn check_format(format: u32) -> Result<(), Error> {
    if format == FORMAT {
        return Ok(());
    }
    let message = format!("manifest format {format} is not {FORMAT}");
    Err(Error::new(ErrorKind::InvalidManifest, message))
}

impl File {
    fn parse(self) -> Option<FileInfo> {
        let sha256 = HEXLOWER.decode(self.sha256.as_bytes()).ok()?.try_into().ok()?;
        let relation = self.sibling.into();
        let details = Details { relation, ..Details::default() };
        Some(FileInfo::new(sha256, self.length).with_details(details))
    }
}

impl Serialize for Manifest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Document::of(self).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Manifest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Document::deserialize(deserializer)?.try_into().map_err(de::Error::custom)
    }
}

impl Serialize for Listing {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(path, file)| (path, file)))
    }
}

impl<'de> Deserialize<'de> for Listing {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = Listing;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of paths to files")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Listing, A::Error> {
                let mut files = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    files.push(entry);
                }
                Ok(Listing(files))
            }
        }

        deserializer.deserialize_map(Entries)
    }
}
