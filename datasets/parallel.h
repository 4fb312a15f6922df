#pragma once

#include <cstddef>
#include <functional>

namespace consilium::datasets {

// How many threads `threads` asks for; 0: one for each processor.
unsigned ThreadCount(unsigned threads);

// Calls body(0) ... body(count - 1), each once, on ThreadCount(threads) threads, in about that
// order, and waits. Stops handing out work after a body returned false; then returns false. `body`
// must be thread-safe and not throw.
bool ParallelFor(std::size_t count, unsigned threads, const std::function<bool(std::size_t)>& body);

// Tells the allocator to keep freed image buffers for the next image instead of giving them back to
// the system, whose page faults would cost more than decoding. For programs that read many images,
// at their start, before other threads.
void KeepFreedMemory();

}  // namespace consilium::datasets
