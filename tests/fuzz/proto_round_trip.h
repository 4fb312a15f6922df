#pragma once

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/stubs/logging.h>

#include <string>

#include "common/wire/convert.h"
#include "tests/fuzz/fuzz.h"

namespace consilium::fuzz {

// The same message gives the same bytes, maps too.
template <class Proto>
std::string Serialized(const Proto& proto) {
  std::string bytes;
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  FUZZ_EXPECT(proto.SerializeToCodedStream(&coded));
  coded.Trim();
  return bytes;
}

// Protobuf's messages are larger than their bytes on the wire: an empty submessage of two bytes
// takes a hundred, in a repeated field's array that doubles; its arenas and strings begin small.
constexpr std::size_t JustifiedByMessage(std::size_t input_bytes) {
  return JustifiedBy(8 * input_bytes);
}

// Protobuf makes room for a text on its length's word, up to 50 MB (kSafeStringSize), and only then
// sees that the bytes are not there; the room goes with the message.
template <class Proto>
bool Parse(ByteView input, Proto* proto) {
  static const auto quiet = google::protobuf::SetLogHandler(nullptr);
  static_cast<void>(quiet);
  const AllocationLimit parsing((50 << 20) + JustifiedByMessage(input.size()));
  return proto->ParseFromArray(input.data(), static_cast<int>(input.size()));
}

// What FromProto takes, ToProto and FromProto give back. The message, or nothing when it is
// refused.
template <class Proto>
auto RoundTripped(ByteView input) -> std::optional<
    std::remove_reference_t<decltype(*wire::FromProto(std::declval<const Proto&>()))>> {
  Proto proto;
  if (!Parse(input, &proto)) return std::nullopt;
  auto message = wire::FromProto(proto);
  if (!message.ok()) {
    FUZZ_EXPECT(absl::IsInvalidArgument(message.status()));
    return std::nullopt;
  }
  Proto written, again_written;
  wire::ToProto(*message, &written);
  const auto again = wire::FromProto(written);
  FUZZ_EXPECT(again.ok());
  wire::ToProto(*again, &again_written);
  FUZZ_EXPECT(Serialized(written) == Serialized(again_written));
  return *std::move(message);
}

}  // namespace consilium::fuzz
