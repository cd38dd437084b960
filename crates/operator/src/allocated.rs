//! What is held in memory, for tests of what is kept.

/// What this thread holds at this moment, in bytes.
pub fn held() -> u64 {
    let allocated = tikv_jemalloc_ctl::thread::allocatedp::read().expect("statistics").get();
    allocated - tikv_jemalloc_ctl::thread::deallocatedp::read().expect("statistics").get()
}
