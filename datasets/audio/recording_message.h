#pragma once

// How a worker is asked for a recording, and answers (worker/operations.h).

#include <optional>

#include "datasets/audio/recording.h"
#include "datasets/worker/operations.h"

namespace consilium::datasets::audio {

// Of one file; arguments: encoded settings; the result: an encoded Recording.
inline constexpr char kReadRecording[] = "recording";
void AddOperation(worker::Operations& operations);

Bytes Encode(const std::optional<plan::Audio>& audio);
// Nothing when it is not sound.
std::optional<std::optional<plan::Audio>> DecodeAudio(ByteView message);

Bytes Encode(const Recording& recording);
// Nothing when it cannot be the answer to what was asked: another size, or a value that is none.
std::optional<Recording> DecodeRecording(ByteView message, const std::optional<plan::Audio>& audio);
// The largest answer.
std::uint64_t LargestRecording(const std::optional<plan::Audio>& audio);

}  // namespace consilium::datasets::audio
