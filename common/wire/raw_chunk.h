#pragma once

// The messages that carry a model's or an envelope's bytes, made without protobuf's copies of them.

namespace grpc {
class ByteBuffer;
class Slice;
}  // namespace grpc
namespace consilium::v1 {
class ModelChunk;
class UploadChunk;
}  // namespace consilium::v1

namespace consilium::wire {

// On the wire the same as `fields` (which must not have the bytes field set) with the bytes: shared
// with the slice, not copied.
grpc::ByteBuffer RawChunk(const v1::ModelChunk& fields, const grpc::Slice& data);
grpc::ByteBuffer RawChunk(const v1::UploadChunk& fields, const grpc::Slice& segment);

}  // namespace consilium::wire
