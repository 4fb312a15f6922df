#include <nlohmann/json.hpp>

#include "common/crypto/model_record.h"
#include "coordinator/researcher/verify_model.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/published_model.h"

namespace consilium::researcher {
namespace {

void CheckAnswer(const Verification& verification) {
  FUZZ_EXPECT(!verification.checks.empty());
  FUZZ_EXPECT(verification.ok() == verification.Broken().empty());
}

// The valid record with the fields of `changes`, signed by the coordinator all the same.
std::string Resigned(const fuzz::PublishedModel& published, std::string_view changes) {
  nlohmann::json record = nlohmann::json::parse(published.record_json);
  const auto patch = nlohmann::json::parse(changes.begin(), changes.end(), nullptr, false);
  if (!patch.is_object()) return "";
  record.merge_patch(patch);
  std::string text = record.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  const auto made = crypto::SignModelRecord(published.coordinator, text);
  return made.ok() ? *made : "";
}

}  // namespace
}  // namespace consilium::researcher

// 'r' and a record's file; 'c' and a JSON object of changes to a valid record, signed again; else a
// log.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace consilium;
  using namespace consilium::researcher;
  static const auto published = fuzz::PublishedModel::Make();
  const std::string_view input = AsText(fuzz::Input(data, size));
  const char mode = input.empty() ? 'l' : input[0];
  const std::string record = mode == 'r'   ? std::string(input.substr(1))
                             : mode == 'c' ? Resigned(published, input.substr(1))
                                           : published.record;
  const std::string log(mode == 'r' || mode == 'c' ? published.log : input);
  const std::size_t bytes = record.size() + log.size();
  const fuzz::AllocationLimit limit(fuzz::JustifiedBy(16 * bytes));
  const auto& root = published.root.public_key;
  const Verification of_model = VerifyModel(root, published.model, record, log);
  CheckAnswer(of_model);
  // What is proved needs the very record and the very log.
  FUZZ_EXPECT(!of_model.ok() || mode == 'c' ||
              (record == published.record && log == published.log));
  CheckAnswer(VerifyModel(root, published.model, record, std::nullopt));
  CheckAnswer(VerifyLog(root, log, published.roster));
  return 0;
}
