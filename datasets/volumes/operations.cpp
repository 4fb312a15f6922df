#include "datasets/volumes/operations.h"

#include "common/base/text.h"
#include "datasets/dicom/image_file.h"
#include "datasets/dicom/library.h"
#include "datasets/volumes/instance_message.h"
#include "datasets/worker/message.h"

namespace consilium::datasets::volumes {
namespace {

OrRefused<Bytes> ReadOneInstance(ByteView, std::vector<File> files) {
  const auto data_set = dicom::DataSet::Open(std::move(files.at(0)));
  if (!data_set.ok()) return data_set.refused();
  const auto instance = ReadInstance(*data_set);
  if (!instance.ok()) return instance.refused();
  return Encode(*instance);
}

OrRefused<Bytes> ReadFrames(ByteView arguments, std::vector<File> files) {
  worker::MessageReader reader(arguments);
  std::uint32_t first = 0, count = 0;
  reader.U32(first);
  reader.U32(count);
  auto file = dicom::ImageFile::Open(std::move(files.at(0)));
  if (!file.ok()) return file.refused();
  if (!reader.Done() || first >= file->frame_count()) {
    return Refused{Refusal::kDamaged, "the file has changed: a frame is no longer there"};
  }
  std::vector<float> values;
  for (std::uint32_t frame = first; frame - first < count && frame < file->frame_count(); ++frame) {
    const auto image = file->ReadModality(frame);
    if (!image.ok() && frame == first) return image.refused();
    if (!image.ok()) break;
    values.insert(values.end(), image->pixels.begin(), image->pixels.end());
  }
  worker::MessageWriter writer;
  writer.Floats(values, values.size());
  return std::move(writer).Take();
}

}  // namespace

void AddOperations(worker::Operations& operations) {
  operations.Add(kReadInstance, ReadOneInstance);
  operations.Add(kReadFrames, ReadFrames, dicom::InitialiseLibrary);
}

}  // namespace consilium::datasets::volumes
