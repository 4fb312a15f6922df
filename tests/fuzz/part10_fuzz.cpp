#include "datasets/pacs/part10.h"
#include "tests/fuzz/fuzz.h"

namespace {

using namespace consilium;
using namespace consilium::datasets::pacs;

// The head that was understood, written before an empty element, is understood the same.
void CheckCanonical(const InstanceHead& head) {
  Bytes file = EncodeFileMeta(head);
  file.insert(file.end(), {8, 0, 5, 0, 'C', 'S', 0, 0, 0, 0, 0, 0});
  const auto again = ParseFileMeta(file);
  FUZZ_EXPECT(again.ok() && again->has_value());
  const FileMeta& meta = **again;
  FUZZ_EXPECT(meta.head.sop_class_uid == head.sop_class_uid);
  FUZZ_EXPECT(meta.head.sop_instance_uid == head.sop_instance_uid);
  FUZZ_EXPECT(meta.head.transfer_syntax_uid == head.transfer_syntax_uid);
  FUZZ_EXPECT(meta.data_set_offset == file.size() - 12);
}

}  // namespace

// The beginning of a file; what follows its head, or all of it, as a data set.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteView bytes = fuzz::Input(data, size);
  const fuzz::AllocationLimit limit(fuzz::JustifiedBy(size));
  const auto meta = ParseFileMeta(bytes);
  ByteView data_set = bytes;
  if (meta.ok() && meta->has_value()) {
    FUZZ_EXPECT((*meta)->data_set_offset <= size);
    data_set = bytes.subspan((*meta)->data_set_offset);
    CheckCanonical((*meta)->head);
  }
  for (const std::string_view syntax : {kImplicitLittleEndian, kExplicitBigEndian, kDeflated,
                                        std::string_view("1.2.840.10008.1.2.1")}) {
    (void)FindNamedInstance(data_set, syntax);
  }
  return 0;
}
