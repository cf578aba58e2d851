//! The stack of the eBPF programs. Linux 6.1 refuses a program whose deepest chain of calls needs
//! more than 512 bytes, each frame rounded up to 32; newer kernels round up to 16, so what loads on
//! the machine of a developer need not load there.

use std::collections::{BTreeMap, BTreeSet};

use object::{Object, ObjectSection, ObjectSymbol, RelocationTarget, SectionIndex, SymbolKind};
use slb_userspace::objects;

/// Bytes of a chain of calls, and of what a frame's size is a multiple of, in Linux 6.1.
const MOST: u32 = 512;
const UNIT: u32 = 32;
/// Frames of a chain.
const FRAMES: usize = 8;
/// Bytes of an instruction.
const SIZE: usize = 8;
/// The register with the end of the frame.
const FRAME_POINTER: u8 = 10;
/// The instruction class of loads, those of stores, and a call, a move, an addition.
const LOAD: u8 = 1;
const STORES: [u8; 2] = [2, 3];
const CALL: u8 = 0x85;
const MOVE: u8 = 0xbf;
const ADD: u8 = 0x07;

/// Where a function begins: number of the section, bytes from its begin.
type Place = (usize, u64);

/// What a function needs by itself, and whom it calls.
#[derive(Debug, Default)]
struct Function {
    name: String,
    depth: u32,
    calls: BTreeSet<Place>,
}

/// A chain of calls: its bytes, and the names with theirs.
type Chain = (u32, Vec<(String, u32)>);

#[test]
fn the_deepest_chain_of_calls_fits_the_stack_that_linux_6_1_gives() {
    let objects =
        [("slb", objects::data_plane()), ("toa", objects::toa()), ("bench", objects::bench())];
    for (name, bytes) in objects {
        let object = object::File::parse(bytes).unwrap();
        let functions = functions(&object);
        let mut programs = 0;
        for (place, function) in &functions {
            if object.section_by_index(SectionIndex(place.0)).unwrap().name().unwrap() == ".text" {
                continue;
            }
            programs += 1;
            let (bytes, chain) = deepest(&functions, *place);
            assert!(bytes <= MOST, "{name}: {} needs {bytes} bytes: {chain:#?}", function.name);
            assert!(chain.len() <= FRAMES, "{name}: {}: {chain:#?}", function.name);
        }
        assert!(programs > 2, "{name} has {programs} programs");
    }
}

#[test]
fn frames_and_calls_are_read_from_the_instructions() {
    let object = object::File::parse(objects::data_plane()).unwrap();
    let functions = functions(&object);
    let named = |name: &str| functions.iter().find(|(_, function)| function.name == name).unwrap();
    let (place, locate) = named("global_locate_v6");
    // Two keys of three words have to be looked at.
    assert!(locate.depth >= 8, "{locate:?}");
    let (bytes, chain) = deepest(&functions, *named("slb_rare").0);
    assert!(chain.len() == 3 && bytes > 2 * UNIT, "{chain:?}");
    assert!(functions.values().filter(|function| function.calls.contains(place)).count() >= 2);
}

fn deepest(functions: &BTreeMap<Place, Function>, place: Place) -> Chain {
    let function = &functions[&place];
    let below = function.calls.iter().map(|callee| deepest(functions, *callee)).max();
    let (bytes, chain) = below.unwrap_or_default();
    let own = function.depth.max(1).next_multiple_of(UNIT);
    let names = std::iter::once((function.name.clone(), own)).chain(chain).collect();
    (bytes + own, names)
}

fn functions(object: &object::File) -> BTreeMap<Place, Function> {
    let functions = object.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text);
    functions
        .filter(|symbol| symbol.size() > 0)
        .map(|symbol| {
            let section = symbol.section_index().expect("a section").0;
            let mut function = function(object, (section, symbol.address()), symbol.size());
            symbol.name().expect("a name").clone_into(&mut function.name);
            ((section, symbol.address()), function)
        })
        .collect()
}

fn function(object: &object::File, (index, start): Place, size: u64) -> Function {
    let section = object.section_by_index(SectionIndex(index)).expect("a section");
    let relocations: BTreeMap<u64, _> = section.relocations().collect();
    let code = section.data_range(start, size).ok().flatten().expect("code");
    let mut function = Function::default();
    // Registers that hold the end of the frame.
    let mut ends = [false; 16];
    for (at, bytes) in (start..).step_by(SIZE).zip(code.chunks_exact(SIZE)) {
        let (operation, to, from) = (bytes[0], bytes[1] & 15, bytes[1] >> 4);
        let offset = i32::from(i16::from_le_bytes([bytes[2], bytes[3]]));
        let number = i32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
        let base = match operation & 7 {
            LOAD => Some(from),
            class if STORES.contains(&class) => Some(to),
            _ => None,
        };
        let below = match operation {
            ADD if ends[usize::from(to)] => number,
            _ if base == Some(FRAME_POINTER) => offset,
            _ => 0,
        };
        function.depth = function.depth.max(below.min(0).unsigned_abs());
        ends[usize::from(to)] = operation == MOVE && from == FRAME_POINTER;
        // Calls of helpers name no register.
        if operation == CALL && from == 1 {
            let behind = (i64::from(number) + 1) * SIZE as i64;
            function.calls.insert(match relocations.get(&at) {
                Some(relocation) => target(object, relocation.target(), behind),
                None => (index, at.wrapping_add_signed(behind)),
            });
        }
    }
    function
}

/// The function that a call goes to; by a section's symbol it says how far behind its begin.
fn target(object: &object::File, target: RelocationTarget, behind: i64) -> Place {
    let RelocationTarget::Symbol(symbol) = target else { panic!("{target:?}") };
    let symbol = object.symbol_by_index(symbol).expect("a symbol");
    let section = symbol.section_index().expect("a section").0;
    match symbol.kind() {
        SymbolKind::Section => (section, behind.unsigned_abs()),
        _ => (section, symbol.address()),
    }
}
