#include "datasets/worker/image_operations.h"

#include "datasets/dicom/library.h"
#include "datasets/dicom/reader.h"
#include "datasets/pipeline/pipeline.h"
#include "datasets/worker/header_message.h"
#include "datasets/worker/message.h"

namespace consilium::datasets::worker {
namespace {

OrRefused<Bytes> ReadHeader(ByteView, std::vector<File> files) {
  const auto header = dicom::ReadHeader(std::move(files.at(0)));
  if (!header.ok()) return header.refused();
  return Encode(*header);
}

OrRefused<Bytes> ReadInput(ByteView arguments, std::vector<File> files) {
  const auto preprocessing = DecodePreprocessing(arguments);
  if (!preprocessing) return Refused{Refusal::kUnreadable, "the pool asks for what is not known"};
  auto image = dicom::ImageFile::Open(std::move(files.at(0)));
  if (!image.ok()) return image.refused();
  const auto input = pipeline::MakeInput(*image, *preprocessing);
  if (!input.ok()) return input.refused();
  MessageWriter writer;
  writer.Floats(*input, input->size());
  return std::move(writer).Take();
}

}  // namespace

void AddImageOperations(Operations& operations) {
  operations.Add(kReadHeader, ReadHeader);
  operations.Add(kReadInput, ReadInput, dicom::InitialiseLibrary);
}

}  // namespace consilium::datasets::worker
