// Package simdisk is a disk made of memory that keeps exactly what package
// vfs promises, and nothing more.
package simdisk
