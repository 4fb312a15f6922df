#include "common/wire/raw_chunk.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <array>

#include "common/wire/consilium.pb.h"

namespace consilium::wire {
namespace {

// Protobuf takes a message's fields in any order, so that this may follow all others.
grpc::ByteBuffer WithBytes(std::string message, int field, const grpc::Slice& bytes) {
  using google::protobuf::internal::WireFormatLite;
  std::array<std::uint8_t, 16> head;
  std::uint8_t* end = google::protobuf::io::CodedOutputStream::WriteVarint32ToArray(
      WireFormatLite::MakeTag(field, WireFormatLite::WIRETYPE_LENGTH_DELIMITED), head.data());
  end = google::protobuf::io::CodedOutputStream::WriteVarint64ToArray(bytes.size(), end);
  message.append(head.data(), end);
  const std::array<grpc::Slice, 2> slices = {grpc::Slice(message), bytes};
  return grpc::ByteBuffer(slices.data(), slices.size());
}

}  // namespace

grpc::ByteBuffer RawChunk(const v1::ModelChunk& fields, const grpc::Slice& data) {
  return WithBytes(fields.SerializeAsString(), v1::ModelChunk::kDataFieldNumber, data);
}

grpc::ByteBuffer RawChunk(const v1::UploadChunk& fields, const grpc::Slice& segment) {
  return WithBytes(fields.SerializeAsString(), v1::UploadChunk::kSegmentFieldNumber, segment);
}

}  // namespace consilium::wire
