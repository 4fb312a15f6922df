#pragma once

#include <map>
#include <string>

#include "common/base/file.h"

namespace consilium::identifiers {

// Makes gRPC (of any program that has it) write what it sends and receives, before it is encrypted
// and after it was decrypted, to standard error.
std::map<std::string, std::string> RecordingEnvironment();

// What a program with that environment has sent, in the clear, byte for byte, from its log: HTTP/2
// frames with the messages of protobuf in them.
std::string SentAccordingTo(const fs::path& log);

}  // namespace consilium::identifiers
