#include "datasets/targets/code.h"

#include "common/base/text.h"

namespace consilium::datasets::targets {

using dicom::DataSet;
using dicom::Tag;

Code ReadCode(const DataSet& data_set, std::uint32_t sequence) {
  const DataSet item = data_set.FirstItem(sequence);
  Code code{item.Text(Tag(0x0008, 0x0100)), item.Text(Tag(0x0008, 0x0102)),
            item.Text(Tag(0x0008, 0x0104))};
  if (code.value.empty()) code.value = item.Text(Tag(0x0008, 0x0119));  // the long form
  if (code.value.empty()) code.value = item.Text(Tag(0x0008, 0x0120));  // or a URN
  return code;
}

OrRefused<DataSet> OpenTarget(const fs::path& path) {
  const auto bytes = FileSize(path);
  if (!bytes.ok()) return Refused{Refusal::kUnreadable, ""};
  if (*bytes > kMaxTargetBytes) {
    return Refused{Refusal::kTooLarge,
                   StrCat(*bytes >> 20, " MiB; at most ", kMaxTargetBytes >> 20)};
  }
  return DataSet::Open(path);
}

}  // namespace consilium::datasets::targets
