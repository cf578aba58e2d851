//! Where the fields of a frame are that tell one flow from another.

/// Who has sent the frame.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Client,
    Backend,
}

/// A field in a frame: which word, and how far its first bit is from that word's.
#[derive(Clone, Copy)]
pub(crate) struct Field(pub(crate) usize, pub(crate) u32);

/// Where the fields are that vary, counted in words that begin behind the frame's head.
pub(crate) struct Places {
    pub(crate) address: Field,
    pub(crate) port: Field,
    pub(crate) backend: Option<Field>,
    pub(crate) checksum: Option<Field>,
    pub(crate) sequence: Field,
}

impl Places {
    #[inline(always)]
    pub(crate) const fn of<const W: usize>(end: End) -> Self {
        match (W, end) {
            (1, End::Client) => Self {
                address: Field(3, 0),
                port: Field(4, 0),
                backend: None,
                checksum: Some(Field(2, 48)),
                sequence: Field(4, 32),
            },
            (1, End::Backend) => Self {
                address: Field(3, 32),
                port: Field(4, 16),
                backend: Some(Field(3, 16)),
                checksum: Some(Field(2, 48)),
                sequence: Field(4, 32),
            },
            (_, End::Client) => Self {
                address: Field(3, 32),
                port: Field(6, 0),
                backend: None,
                checksum: None,
                sequence: Field(6, 32),
            },
            (_, End::Backend) => Self {
                address: Field(5, 32),
                port: Field(6, 16),
                backend: Some(Field(3, 48)),
                checksum: None,
                sequence: Field(6, 32),
            },
        }
    }
}
