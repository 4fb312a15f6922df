// The worker's side of subject.h.

#include "datasets/dicom/library.h"
#include "datasets/results/source_message.h"
#include "datasets/results/subject.h"
#include "datasets/worker/header_message.h"
#include "datasets/worker/operations.h"

namespace consilium::datasets::results {
namespace {

OrRefused<Bytes> ReadOne(ByteView arguments, std::vector<File> files) {
  const auto preprocessing = worker::DecodePreprocessing(arguments);
  if (!preprocessing) return Refused{Refusal::kUnreadable, "the pool asks for what is not known"};
  auto data_set = dicom::DataSet::Open(std::move(files.at(0)));
  if (!data_set.ok()) return data_set.refused();
  auto file = dicom::ImageFile::Open(*std::move(data_set));
  if (!file.ok()) return file.refused();
  const auto subject = ReadSubject(std::move(*file), *preprocessing);
  if (!subject.ok()) return subject.refused();
  return Encode(*subject);
}

OrRefused<Bytes> ReadSourceOf(ByteView, std::vector<File> files) {
  const auto data_set = dicom::DataSet::Open(std::move(files.at(0)));
  if (!data_set.ok()) return data_set.refused();
  const auto source = ReadSourceImage(*data_set);
  if (!source.ok()) return source.refused();
  worker::MessageWriter message;
  Write(message, *source);
  return std::move(message).Take();
}

}  // namespace

void AddSubjectOperations(worker::Operations& operations) {
  operations.Add(kReadSubject, ReadOne, dicom::InitialiseLibrary);
  operations.Add(kReadSource, ReadSourceOf);
}

}  // namespace consilium::datasets::results
