#pragma once

// What is said to and by a worker that de-identifies (worker/message.h). Internal to this folder.

#include <optional>
#include <vector>

#include "common/crypto/secret.h"
#include "datasets/deidentification/instance_cleaner.h"
#include "datasets/worker/message.h"

namespace consilium::datasets::deidentification {

// The site's key is in it: the worker needs it for every name and date that it replaces.
struct Task {
  crypto::Secret key;
  DeidentificationOptions options;
};
void Write(const Task& task, worker::MessageWriter* writer);
Task ReadTask(worker::MessageReader* reader);

// Nothing when it is not sound. Names of files are made of the names: they hold no more than
// letters, digits, dots and dashes.
Bytes Encode(const ExaminedInstance& instance);
std::optional<ExaminedInstance> DecodeExamined(ByteView message);

Bytes Encode(const std::vector<Bytes>& masks);
std::optional<std::vector<Bytes>> DecodeMasks(ByteView message, std::size_t files);

}  // namespace consilium::datasets::deidentification
