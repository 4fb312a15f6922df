#include "datasets/deidentification/operations.h"

#include "common/base/status.h"
#include "datasets/deidentification/head_series.h"
#include "datasets/deidentification/task_message.h"

namespace consilium::datasets::deidentification {
namespace {

OrRefused<Deidentifier> DeidentifierFor(const worker::MessageReader& reader, Task task) {
  if (reader.failed()) return Refused{Refusal::kUnreadable, "the pool asks for what is not known"};
  auto pseudonymiser = Pseudonymiser::Create(task.key);
  if (!pseudonymiser.ok()) {
    return Refused{Refusal::kUnreadable, std::string(ToStd(pseudonymiser.status().message()))};
  }
  auto deidentifier = Deidentifier::Create(*std::move(pseudonymiser), std::move(task.options));
  if (!deidentifier.ok()) {
    return Refused{Refusal::kUnreadable, std::string(ToStd(deidentifier.status().message()))};
  }
  return *std::move(deidentifier);
}

OrRefused<Bytes> ExamineOne(ByteView arguments, std::vector<File> files) {
  worker::MessageReader reader(arguments);
  Task task = ReadTask(&reader);
  const auto deidentifier = DeidentifierFor(reader, std::move(task));
  if (!deidentifier.ok()) return deidentifier.refused();
  const auto examined = Examine(*deidentifier, std::move(files.at(0)));
  if (!examined.ok()) return examined.refused();
  return Encode(*examined);
}

OrRefused<Bytes> CleanOne(ByteView arguments, std::vector<File> files) {
  worker::MessageReader reader(arguments);
  Task task = ReadTask(&reader);
  const ByteView face = reader.Rest();
  const auto deidentifier = DeidentifierFor(reader, std::move(task));
  if (!deidentifier.ok()) return deidentifier.refused();
  return Clean(*deidentifier, files.at(0), face);
}

OrRefused<Bytes> FindFaces(ByteView, std::vector<File> files) {
  const auto masks = FaceMasks(files);
  if (!masks.ok()) return masks.refused();
  return Encode(*masks);
}

// DCMTK's dictionary, and what OpenSSL loads at its first hash.
void WarmUp() {
  const auto pseudonymiser = Pseudonymiser::Create(crypto::Secret(32));
  CONSILIUM_CHECK(pseudonymiser.ok() && !pseudonymiser->MappedUid("1.2.3").empty());
  CONSILIUM_CHECK(Deidentifier::Create(*Pseudonymiser::Create(crypto::Secret(32)), {}).ok());
}

}  // namespace

void AddOperations(worker::Operations& operations) {
  operations.Add(kExamine, ExamineOne, WarmUp);
  operations.Add(kClean, CleanOne);
  operations.Add(kFindFaces, FindFaces);
}

}  // namespace consilium::datasets::deidentification
