#include "datasets/volumes/sandboxed_instances.h"

#include <algorithm>

#include "datasets/dicom/header.h"
#include "datasets/volumes/instance_message.h"
#include "datasets/volumes/operations.h"
#include "datasets/worker/message.h"

namespace consilium::datasets::volumes {
namespace {

constexpr std::uint64_t kLargestInstance = 64 << 20;
// A file is opened for many of its frames at once, for it takes time to find them.
constexpr std::uint64_t kValuesTogether = 4 << 20;

Refused Nonsense() { return {Refusal::kCrashedReader, "it said what cannot be of any image"}; }

// The frames of one file of several, or the only one.
class SandboxedFrames {
 public:
  SandboxedFrames(worker::WorkerPool& pool, fs::path path, const Slice& slice, std::size_t frames)
      : pool_(pool),
        path_(std::move(path)),
        frame_values_(std::uint64_t{slice.rows} * slice.columns),
        frames_(frames) {}

  OrRefused<std::vector<float>> Load(std::uint32_t frame) {
    if (frame_values_ > dicom::kMaxFrameSamples) return Refused{Refusal::kTooLarge, ""};
    if (frames_ == 1) return Read(frame, 1);
    if (frame < first_ || (frame - first_ + 1) * frame_values_ > values_.size()) {
      const auto count = std::clamp<std::uint64_t>(kValuesTogether / frame_values_, 1, frames_);
      auto values = Read(frame, static_cast<std::uint32_t>(count));
      if (!values.ok()) return values;
      first_ = frame;
      values_ = std::move(*values);
    }
    const auto at = values_.begin() + static_cast<std::ptrdiff_t>((frame - first_) * frame_values_);
    return std::vector<float>(at, at + static_cast<std::ptrdiff_t>(frame_values_));
  }

 private:
  // At least one frame's values, whole frames.
  OrRefused<std::vector<float>> Read(std::uint32_t first, std::uint32_t count) {
    worker::MessageWriter arguments;
    arguments.U32(first);
    arguments.U32(count);
    const std::uint64_t most = frame_values_ * count;
    const auto result = pool_.Call(kReadFrames, arguments.bytes(), {&path_, 1},
                                   most * sizeof(float) + sizeof(std::uint64_t));
    if (!result.ok()) return result.refused();
    worker::MessageReader reader(*result);
    std::vector<float> values;
    reader.Floats(values, most);
    if (!reader.Done() || values.empty() || values.size() % frame_values_ != 0) return Nonsense();
    return values;
  }

  worker::WorkerPool& pool_;
  const fs::path path_;
  const std::uint64_t frame_values_, frames_;
  std::uint32_t first_ = 0;
  std::vector<float> values_;  // of the frames from first_ on
};

}  // namespace

std::vector<OrRefused<Series>> SandboxedInstances::ReadInstances(std::span<const fs::path> paths) {
  const auto results = pool_.CallForEach(kReadInstance, {}, paths, kLargestInstance);
  std::vector<OrRefused<Series>> instances;
  for (std::size_t i = 0; i < paths.size(); ++i) {
    if (!results[i].ok()) {
      instances.push_back(results[i].refused());
      continue;
    }
    auto instance = DecodeInstance(*results[i]);
    if (!instance) {
      instances.push_back(Nonsense());
      continue;
    }
    instance->first_file = paths[i].filename().string();
    std::shared_ptr<SandboxedFrames> frames;  // shared by the slices
    for (Slice& slice : instance->slices) {
      if (!frames) {
        frames = std::make_shared<SandboxedFrames>(pool_, paths[i], slice, instance->slices.size());
      }
      slice.load = [frames, frame = slice.frame - 1] { return frames->Load(frame); };
    }
    instances.push_back(std::move(*instance));
  }
  return instances;
}

}  // namespace consilium::datasets::volumes
