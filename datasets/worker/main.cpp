// consilium-image-worker: reads image files for the other programs, in a sandbox (README.md).

#include "datasets/audio/recording_message.h"
#include "datasets/deidentification/operations.h"
#include "datasets/explain/operation.h"
#include "datasets/followup/instance.h"
#include "datasets/results/subject.h"
#include "datasets/targets/operations.h"
#include "datasets/volumes/operations.h"
#include "datasets/worker/image_operations.h"
#include "datasets/worker/serve.h"

int main(int argc, char** argv) {
  using namespace consilium::datasets;
  worker::Operations operations;
  worker::AddImageOperations(operations);
  audio::AddOperation(operations);
  deidentification::AddOperations(operations);
  explain::AddOperation(operations);
  followup::AddInstanceOperation(operations);
  results::AddSubjectOperations(operations);
  targets::AddOperations(operations);
  volumes::AddOperations(operations);
  return worker::ServeMain(argc, argv, operations);
}
