#include "datasets/audio/recording_message.h"

namespace consilium::datasets::audio {
namespace {

OrRefused<Bytes> Read(ByteView arguments, std::vector<File> files) {
  const auto audio = DecodeAudio(arguments);
  if (!audio) return Refused{Refusal::kUnreadable, "the pool asks for what is not known"};
  const auto recording = ReadRecording(std::move(files.at(0)), *audio);
  if (!recording.ok()) return recording.refused();
  return Encode(*recording);
}

}  // namespace

void AddOperation(worker::Operations& operations) { operations.Add(kReadRecording, Read); }

}  // namespace consilium::datasets::audio
