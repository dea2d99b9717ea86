// The files of a slice in one call without the GIL: heads of headers, pixels of uncompressed planes, and the files of
// maps. What the Python twins in gsigpu.dicom do a file at a time, with an object and a turn of the GIL for each.
//
// Nothing here tells what went wrong. A function does the first of its files until one is not as it must be, and returns
// how many are done; what that file is, the caller finds out by the Python way, which raises its errors. A file that was
// begun and could not be completed is removed again. No state, no allocation, no Python.

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

namespace {

// An open file, closed at the end of the block.
class File {
  public:
    File(const char *path, int flags) {
        do descriptor = open(path, flags | O_CLOEXEC, 0666);
        while (descriptor < 0 && errno == EINTR);
    }
    ~File() {
        if (descriptor >= 0) close(descriptor);
    }
    File(const File &) = delete;
    File &operator=(const File &) = delete;

    bool is_open() const { return descriptor >= 0; }

    // Size, time of the last change in ns, and inode, as gsigpu.file_state.FileState has them.
    bool state(int64_t *three) const {
        struct stat status;
        if (fstat(descriptor, &status)) return false;
#if defined(__APPLE__)
        const struct timespec changed = status.st_mtimespec;
#else
        const struct timespec changed = status.st_mtim;
#endif
        three[0] = status.st_size;
        three[1] = int64_t(changed.tv_sec) * 1000000000 + changed.tv_nsec;
        three[2] = int64_t(status.st_ino);
        return true;
    }

    // How many bytes were read: fewer than asked where the file ends; -1 where it cannot be read.
    int64_t read_at(int64_t offset, char *to, int64_t n) const {
        int64_t n_read = 0;
        while (n_read < n) {
            const ssize_t n_now = pread(descriptor, to + n_read, size_t(n - n_read), off_t(offset + n_read));
            if (n_now < 0 && errno == EINTR) continue;
            if (n_now < 0) return -1;
            if (n_now == 0) break;
            n_read += n_now;
        }
        return n_read;
    }

    // Two pieces, one behind the other from the beginning of the file, in one system call where the disk takes them.
    bool write_both(const char *first, int64_t n_first, const char *second, int64_t n_second) const {
        struct iovec parts[2] = {{const_cast<char *>(first), size_t(n_first)},
                                 {const_cast<char *>(second), size_t(n_second)}};
        int at = 0;
        while (at < 2) {
            ssize_t n_now = writev(descriptor, parts + at, 2 - at);
            if (n_now < 0 && errno == EINTR) continue;
            if (n_now <= 0) return false;
            while (at < 2 && size_t(n_now) >= parts[at].iov_len) n_now -= parts[at++].iov_len;
            if (at == 2) break;
            parts[at].iov_base = static_cast<char *>(parts[at].iov_base) + n_now;
            parts[at].iov_len -= n_now;
        }
        return true;
    }

    // Tells of what a network's file system only says at the end.
    bool closed() {
        const int failed = close(descriptor);
        descriptor = -1;
        return failed == 0;
    }

  private:
    int descriptor = -1;
};

// Σ aᵢ wᵢ mod 2⁶⁴ over the 64-bit words: gsigpu.dicom.writing.content_names.pixel_digest.
uint64_t multilinear(const char *bytes, int64_t n_words, const uint64_t *multipliers) {
    uint64_t sum = 0, word;
    for (int64_t i = 0; i < n_words; ++i) {
        __builtin_memcpy(&word, bytes + 8 * i, 8);
        sum += word * multipliers[i];
    }
    return sum;
}

// Whether a file is in its state and its bytes from an offset are read; expected: size, time, inode, offset.
bool read_plane(const char *path, const int64_t *expected, int64_t n_bytes, void *to) {
    const File file(path, O_RDONLY);
    int64_t state[3];
    if (!file.is_open() || !file.state(state)) return false;
    for (int k = 0; k < 3; ++k)
        if (state[k] != expected[k]) return false;
    return file.read_at(expected[3], static_cast<char *>(to), n_bytes) == n_bytes;
}

// Values of a plane at ascending indices, which count from `origin`: a run of voxels one behind the other is copied, as regions
// consist of them.
void take_ascending(const int16_t *plane, int64_t origin, const int64_t *indices, int64_t n, int16_t *to) {
    constexpr int64_t LONG = 32, SHORT = 8;
    int64_t i = 0;
    while (i + SHORT <= n) {
        const int16_t *from = plane + (indices[i] - origin);
        if (i + LONG <= n && indices[i + LONG - 1] - indices[i] == LONG - 1) {
            __builtin_memcpy(to + i, from, LONG * sizeof *to);
            i += LONG;
        } else if (indices[i + SHORT - 1] - indices[i] == SHORT - 1) {
            __builtin_memcpy(to + i, from, SHORT * sizeof *to);
            i += SHORT;
        } else {
            for (const int64_t end = i + SHORT; i < end; ++i) to[i] = plane[indices[i] - origin];
        }
    }
    for (; i < n; ++i) to[i] = plane[indices[i] - origin];
}

uint32_t word_at(const char *bytes) {
    uint32_t word;
    __builtin_memcpy(&word, bytes, sizeof word);  // little endian, as all of this library
    return word;
}

// Where the only fragment of encapsulated pixel data of n bytes lies: behind a table that is empty or names one offset, and in front
// of the sequence's end (PS3.5 A.4), as gsigpu.dicom.reading.fragments.read_only_frame has it.
bool only_fragment(const char *bytes, int64_t n, int64_t *start, int64_t *length) {
    constexpr uint32_t ITEM = 0xE000FFFE, SEQUENCE_END = 0xE0DDFFFE;
    if (n < 8 + 4 + 8 || word_at(bytes) != ITEM) return false;
    const int64_t n_table = word_at(bytes + 4);
    if (n_table != 0 && n_table != 4) return false;
    *start = 8 + n_table + 8;
    if (word_at(bytes + *start - 8) != ITEM) return false;
    *length = word_at(bytes + *start - 4);
    return *length + 8 <= n - *start && word_at(bytes + *start + *length) == SEQUENCE_END;
}

// A new file of a header and bytes behind it: there as a whole, or not.
bool write_new(const char *path, const char *header, int64_t n_header, const void *bytes, int64_t n_bytes) {
    File file(path, O_WRONLY | O_CREAT | O_EXCL);
    if (!file.is_open()) return false;
    const bool is_whole = file.write_both(header, n_header, static_cast<const char *>(bytes), n_bytes);
    if (file.closed() && is_whole) return true;
    unlink(path);
    return false;
}

// Words of a file as delivered values, as gsigpu.dicom.reading.pixels._unpack.
struct Unpack {
    int64_t flip, up, down, is_signed;

    void apply(int16_t *values, int64_t n) const {
        if (flip) {
            for (int64_t i = 0; i < n; ++i) values[i] = int16_t(values[i] ^ -32768);
        } else if (is_signed && (up || down)) {
            for (int64_t i = 0; i < n; ++i) values[i] = int16_t(int16_t(uint16_t(values[i]) << up) >> down);
        } else if (up || down) {
            for (int64_t i = 0; i < n; ++i) values[i] = int16_t(uint16_t(uint16_t(values[i]) << up) >> down);
        }
    }
};

int64_t nanoseconds() {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return int64_t(now.tv_sec) * 1000000000 + now.tv_nsec;
}

}  // namespace

extern "C" {

int gsigpu_maps_of_slice(int set, const int16_t *stored, int64_t n_apart, const float *weights, const float *offsets,
                         const int16_t *padding, int16_t *out, int64_t n_energies, int64_t n_maps, int64_t n_voxels,
                         int64_t *n_clipped);

// The first n_bytes of n files, each with its state from before they were read: heads (n, n_bytes), states (n, 3),
// n_read (n), -1 for a file that cannot be opened or read. The only function that goes on behind such a file.
void gsigpu_read_heads(int64_t n, const char *const *paths, int64_t n_bytes, char *heads, int64_t *states,
                       int64_t *n_read) {
    for (int64_t i = 0; i < n; ++i) {
        const File file(paths[i], O_RDONLY);
        const bool is_known = file.is_open() && file.state(states + 3 * i);
        n_read[i] = is_known ? file.read_at(0, heads + i * n_bytes, n_bytes) : -1;
    }
}

// n_bytes of each of n files from its offset into out (n, n_bytes). expected (n, 4): size, time and inode in which the
// file must be, then the offset. Returns how many of the first are delivered.
int64_t gsigpu_read_planes(int64_t n, const char *const *paths, const int64_t *expected, int64_t n_bytes, char *out) {
    for (int64_t i = 0; i < n; ++i)
        if (!read_plane(paths[i], expected + 4 * i, n_bytes, out + i * n_bytes)) return i;
    return n;
}

// Of each of n files the int16 at some places: of n_bytes from its offset on, which go through `room`, those at ascending
// indices counted from `origin`, into out (n, n_apart). expected as before. Returns how many of the first are delivered.
int64_t gsigpu_read_voxels(int64_t n, const char *const *paths, const int64_t *expected, int64_t n_bytes, int64_t origin,
                           const int64_t *indices, int64_t n_voxels, int16_t *room, int16_t *out, int64_t n_apart) {
    for (int64_t i = 0; i < n; ++i) {
        if (!read_plane(paths[i], expected + 4 * i, n_bytes, room)) return i;
        take_ascending(room, origin, indices, n_voxels, out + i * n_apart);
    }
    return n;
}

// The compressed frame of each of n files that hold one as one fragment. expected as before, the offset that of the value of
// Pixel Data, from which on each file is read to its end, one behind the other into `room` of n_room bytes. places (n, 2):
// where in it each frame begins, and its length. Returns how many of the first are delivered.
int64_t gsigpu_read_frames(int64_t n, const char *const *paths, const int64_t *expected, char *room, int64_t n_room,
                           int64_t *places) {
    int64_t at = 0;
    for (int64_t i = 0; i < n; ++i) {
        const int64_t n_bytes = expected[4 * i] - expected[4 * i + 3];
        if (n_bytes < 0 || n_bytes > n_room - at || !read_plane(paths[i], expected + 4 * i, n_bytes, room + at)) return i;
        int64_t start, length;
        if (!only_fragment(room + at, n_bytes, &start, &length)) return i;
        places[2 * i] = at + start;
        places[2 * i + 1] = length;
        at += n_bytes;
    }
    return n;
}

// n new files, each a header and n_bytes behind it, and the digests (n) of these bytes' n_bytes / 8 words. Returns how
// many of the first are there; of the next nothing is, unless it was there before.
int64_t gsigpu_write_files(int64_t n, const char *const *paths, const char *const *headers, const int64_t *n_header,
                           const char *const *pixels, int64_t n_bytes, const uint64_t *multipliers,
                           uint64_t *digests) {
    for (int64_t i = 0; i < n; ++i) {
        if (!write_new(paths[i], headers[i], n_header[i], pixels[i], n_bytes)) return i;
        digests[i] = multilinear(pixels[i], n_bytes / 8, multipliers);
    }
    return n;
}

// What a run of linear maps needs for S slices of E planes and K maps of N voxels.
//
// in_paths, expected: (S, E) files, as for gsigpu_read_planes; unpack: (E, 4) flip the highest bit, shift up, then down,
// with sign; weights, offsets, padding: as for gsigpu_linear_maps; stored: memory for E planes, one every n_apart values;
// maps: memory for (K, N); out_paths, headers, n_header, digests: (S, K) files, as for gsigpu_write_files
struct Slices {
    int64_t set, n_slices, n_energies, n_maps, n_voxels, n_apart;
    const char *const *in_paths;
    const int64_t *expected;
    const Unpack *unpack;
    const float *weights, *offsets;
    const int16_t *padding;
    int16_t *stored, *maps;
    const char *const *out_paths;
    const char *const *headers;
    const int64_t *n_header;
    const uint64_t *multipliers;
    uint64_t *digests;
    int64_t *n_clipped;    // (S, K)
    int64_t *spent;        // (3) ns of reading, computing, writing; added to
};

// Reads, computes and writes slices, one after the other. Returns how many of the first are done; of the next there is
// no file, unless it was there before.
int64_t gsigpu_map_slices(const Slices *given) {
    const Slices &all = *given;
    const int64_t n_bytes = all.n_voxels * 2, E = all.n_energies, K = all.n_maps;
    for (int64_t s = 0; s < all.n_slices; ++s) {
        const int64_t begun = nanoseconds();
        for (int64_t e = 0; e < E; ++e) {
            int16_t *plane = all.stored + e * all.n_apart;
            if (!read_plane(all.in_paths[s * E + e], all.expected + 4 * (s * E + e), n_bytes, plane)) return s;
            all.unpack[e].apply(plane, all.n_voxels);
        }
        const int64_t is_read = nanoseconds();
        if (gsigpu_maps_of_slice(int(all.set), all.stored, all.n_apart, all.weights + s * K * E, all.offsets + s * K,
                                 all.padding ? all.padding + s * E * 2 : nullptr, all.maps, E, K, all.n_voxels,
                                 all.n_clipped + s * K))
            return s;
        const int64_t is_computed = nanoseconds();
        for (int64_t k = 0; k < K; ++k) {
            const int64_t i = s * K + k;
            const int16_t *plane = all.maps + k * all.n_voxels;
            if (!write_new(all.out_paths[i], all.headers[i], all.n_header[i], plane, n_bytes)) {
                for (int64_t j = s * K; j < i; ++j) unlink(all.out_paths[j]);
                return s;
            }
            all.digests[i] = multilinear(reinterpret_cast<const char *>(plane), n_bytes / 8, all.multipliers);
        }
        all.spent[0] += is_read - begun;
        all.spent[1] += is_computed - is_read;
        all.spent[2] += nanoseconds() - is_computed;
    }
    return all.n_slices;
}

// Other headers of the same length over those of n files. Returns how many of the first have theirs.
int64_t gsigpu_write_headers(int64_t n, const char *const *paths, const char *const *headers,
                             const int64_t *n_header) {
    for (int64_t i = 0; i < n; ++i) {
        File file(paths[i], O_WRONLY);
        if (!file.is_open()) return i;
        const bool is_whole = file.write_both(headers[i], n_header[i], nullptr, 0);
        if (!file.closed() || !is_whole) return i;
    }
    return n;
}

}  // extern "C"
