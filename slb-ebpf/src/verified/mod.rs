//! Global functions: the verifier checks each of them once, by itself, for all arguments, instead
//! of once for every state in which it is called. They take and return plain numbers and pointers
//! to plain structs; the safe functions around them give those their meaning. What they return is
//! unknown to the verifier, so it is made unknown to the compiler too ([`unknown`]).

mod admission;
mod ending;
mod fragments;
mod full_nat;
mod options;
mod parsing;
mod slow_path;
mod table;
mod templates;

pub use admission::{count_client, enter, enter_client, meter, reserve, room, take_one};
pub use ending::{adjust, close, untie};
pub use fragments::{may_carry, recall, remember};
pub use full_nat::{assign_port, claim_port, release_port, take_port};
pub use options::{edit_option, edit_options, insert_toa, read_option};
pub use parsing::{checksum_over, server_id, skip_extensions, skip_tags, sum_words};
pub use slow_path::{choose, give_back, rank, schedule};
pub use table::{attempt, locate, sight};
pub use templates::{hold, hold_template, operate, release, settle, usable};

/// Result of a global function: nothing went wrong, or there is nothing.
const FINE: u32 = u32::MAX;
