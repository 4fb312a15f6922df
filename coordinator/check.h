#pragma once

#include <string>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/preflight.h"
#include "common/crypto/passphrase.h"

namespace consilium::coordinator {

// Whether a coordinator could serve now, or why not: keys, certificates, clock, port, ledger and
// its log, roster, disk, open files. Changes nothing; may run while the coordinator serves.
// `address`: "host:port" it would listen on; empty: as `serve` by itself. Without a passphrase at
// hand the wrapped keys are not opened, which is a warning.
Preflight CheckCoordinator(const fs::path& state, const crypto::PassphraseOptions& passphrase,
                           const std::string& address, Time now);

}  // namespace consilium::coordinator
