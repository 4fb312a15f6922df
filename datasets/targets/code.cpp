#include "datasets/targets/code.h"

#include <algorithm>

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
  auto file = File::OpenForReading(path);
  if (!file.ok()) return dicom::Unreadable(file.status());
  return OpenTarget(*std::move(file));
}

OrRefused<DataSet> OpenTarget(File file) {
  const auto bytes = file.Size();
  if (!bytes.ok()) return dicom::Unreadable(bytes.status());
  if (*bytes > kMaxTargetBytes) {
    return Refused{Refusal::kTooLarge,
                   StrCat(*bytes >> 20, " MiB; at most ", kMaxTargetBytes >> 20)};
  }
  return DataSet::Open(std::move(file));
}

void KeepEachOnce(std::vector<std::string>& uids) {
  std::sort(uids.begin(), uids.end());
  uids.erase(std::unique(uids.begin(), uids.end()), uids.end());
  std::erase(uids, std::string());
}

}  // namespace consilium::datasets::targets
