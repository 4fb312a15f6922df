#pragma once

// The messages that carry a model's or an envelope's bytes, made without protobuf's copies of them.

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include "common/wire/consilium.pb.h"

namespace consilium::wire {

// On the wire the same as `fields` (which must not have the bytes field set) with the bytes: shared
// with the slice, not copied.
grpc::ByteBuffer RawChunk(const v1::ModelChunk& fields, const grpc::Slice& data);
grpc::ByteBuffer RawChunk(const v1::UploadChunk& fields, const grpc::Slice& segment);

}  // namespace consilium::wire
