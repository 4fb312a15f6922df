#pragma once

// The system calls below file.h, by the names and with the results of Linux's manual, section 2: a
// negative result (a null pointer from Map) leaves the reason in errno. Only file.cpp calls them;
// everything else goes through file.h.
//
// They stand in a file of their own so that the tests' simulated disk can replace this one object
// at link time and run the real file.cpp, and all that rests on it, on a disk that loses power.

#include <sys/stat.h>
#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace consilium::file_calls {

int Open(const char* path, int flags, mode_t mode);  // open(2), closed on exec
int Close(int descriptor);
ssize_t ReadAt(int descriptor, void* out, std::size_t bytes, std::uint64_t offset);  // pread(2)
ssize_t WriteAt(int descriptor, const void* from, std::size_t bytes, std::uint64_t offset);
int Resize(int descriptor, std::uint64_t bytes);  // ftruncate(2)
int Sync(int descriptor);                         // fsync(2)
int SyncAll(int descriptor);                      // syncfs(2)
int SetMode(int descriptor, mode_t mode);         // fchmod(2)
int Lock(int descriptor);                         // flock(2), exclusive, without waiting
int Look(int descriptor, struct stat* about);     // fstat(2)
int Look(const char* path, struct stat* about);   // stat(2)
int Rename(const char* from, const char* to);
int Remove(const char* path);  // remove(3): a file, a link or an empty folder
int MakeFolder(const char* path, mode_t mode);
int List(const char* path, std::vector<std::string>* names);  // in no order, without . and ..
const void* Map(int descriptor, std::size_t bytes);           // mmap(2), shared, to read
void Unmap(const void* data, std::size_t bytes);

// Never the same twice among all processes and threads that run at one time.
std::string UniqueName();

}  // namespace consilium::file_calls
