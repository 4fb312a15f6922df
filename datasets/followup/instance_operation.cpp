// The worker's side of instance.h.

#include "datasets/dicom/data_set.h"
#include "datasets/followup/instance.h"
#include "datasets/worker/operations.h"

namespace consilium::datasets::followup {
namespace {

OrRefused<Bytes> ReadOne(ByteView, std::vector<File> files) {
  const auto data_set = dicom::DataSet::Open(std::move(files.at(0)));
  if (!data_set.ok()) return data_set.refused();
  const auto instance = ReadInstance(*data_set);
  if (!instance.ok()) return instance.refused();
  return Encode(*instance);
}

}  // namespace

void AddInstanceOperation(worker::Operations& operations) {
  operations.Add(kReadInstance, ReadOne);
}

}  // namespace consilium::datasets::followup
