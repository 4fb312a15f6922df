#pragma once

#include "datasets/worker/operations.h"

namespace consilium::datasets::worker {

// The main function of a worker program: it warms up, enters the sandbox and answers requests until
// the pool hangs up. Started by a pool only, as PROGRAM PARENT MEMORY_BYTES CPU_SECONDS with its
// socket as descriptor kWorkerSocket.
int ServeMain(int argc, char** argv, const Operations& operations);

inline constexpr int kWorkerSocket = 3;

}  // namespace consilium::datasets::worker
