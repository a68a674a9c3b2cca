#pragma once
// Gives back the pages of programs and libraries that are in memory as they are in their files: most were needed by a start alone, and what
// is used again comes back from the page cache, in microseconds. A node that waits is a third of its size then.

namespace gorgone {

/// Of a mapping that may be written, or in which this process has pages of its own (relocations, a debugger's breakpoints), nothing is
/// touched. Any thread; takes a millisecond or two.
void unmap_clean_pages();

}  // namespace gorgone
