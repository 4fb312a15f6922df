#include "datasets/explain/operation.h"

#include "datasets/explain/explanation.h"
#include "datasets/worker/header_message.h"

namespace consilium::datasets::explain {
namespace {

OrRefused<Bytes> ExplainFile(ByteView arguments, std::vector<File> files) {
  const auto preprocessing = worker::DecodePreprocessing(arguments);
  if (!preprocessing) return Refused{Refusal::kUnreadable, "the pool asks for what is not known"};
  auto data_set = dicom::DataSet::Open(std::move(files.at(0)));
  if (!data_set.ok()) return data_set.refused();
  auto file = dicom::ImageFile::Open(*std::move(data_set));
  if (!file.ok()) return file.refused();
  return Encode(Explain(*file, *preprocessing));
}

}  // namespace

void AddOperation(worker::Operations& operations) { operations.Add(kExplain, ExplainFile); }

}  // namespace consilium::datasets::explain
