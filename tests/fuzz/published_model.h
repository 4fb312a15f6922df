#pragma once

// A federation that published one model, and everything that proves it: valid, the same in every
// run.

#include <string>

#include "common/base/ids.h"
#include "common/crypto/keys.h"

namespace consilium::fuzz {

struct PublishedModel {
  crypto::Ed25519KeyPair root, coordinator;
  ModelId model;
  std::string roster, record_json, record, log;  // record_json: not signed

  static PublishedModel Make();
};

}  // namespace consilium::fuzz
