#include "common/base/core_dumps.h"

#include <sys/prctl.h>
#include <sys/resource.h>

#include <cstdio>
#include <cstdlib>

namespace consilium {

void ForbidCoreDumps() {
  const rlimit none{0, 0};
  // The limit alone does not count where core_pattern is a pipe; the flag does.
  if (setrlimit(RLIMIT_CORE, &none) != 0 || prctl(PR_SET_DUMPABLE, 0) != 0) {
    std::fputs("error: the system does not let this program forbid core dumps\n", stderr);
    std::_Exit(1);
  }
}

}  // namespace consilium
