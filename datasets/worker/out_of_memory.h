#pragma once

namespace consilium::datasets::worker {

// From here on the process ends with kOutOfMemoryExit when an allocation fails, of C++ or of C: the
// pool refuses the file for that reason. Nobody could say what state a library is in that met a
// null pointer, or that called the file damaged for it.
void EndWhenOutOfMemory();

}  // namespace consilium::datasets::worker
