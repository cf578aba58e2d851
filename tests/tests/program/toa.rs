//! The programs of TOA in this kernel; what they do for servers is in the lab tests.

use aya::{Ebpf, programs::Program};
use slb_userspace::objects;

#[test]
fn the_kernel_accepts_the_programs_of_toa_and_makes_no_maps_but_theirs() {
    let mut object = Ebpf::load(objects::toa()).unwrap();
    let mut maps: Vec<&str> = object.maps().map(|(name, _)| name).collect();
    maps.sort_unstable();
    assert_eq!(maps, ["TOA_CLIENTS", "TOA_COUNTERS", "TOA_NETWORKS"]);
    let mut loaded = Vec::new();
    for (name, program) in object.programs_mut() {
        match program {
            Program::SockOps(program) => program.load(),
            Program::CgroupSockAddr(program) => program.load(),
            _ => panic!("{name} is of another kind"),
        }
        .unwrap_or_else(|error| panic!("{name}: {error}"));
        let count = program.info().unwrap().verified_instruction_count();
        loaded.push((name.to_owned(), count));
    }
    assert_eq!(loaded.len(), 3);
    // Of a million. Linux 6.1 takes the most, because it forgets the least.
    assert!(loaded.iter().all(|(_, count)| count.is_none_or(|n| n < 100_000)), "{loaded:?}");
    println!("instructions verified: {loaded:?}");
}
