// seeds makes small snapshots for fuzzing out of real ones: the same buckets with a part of their entries, in pages of
// 1 KiB so that a few entries make a tree. From one of them it cuts single pages.
//
//	seeds FOLDER_OF_SNAPSHOTS FOLDER_OF_CORPORA
package main

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"strings"

	bolt "go.etcd.io/bbolt"
)

const (
	// Of each bucket, so many of its first and of its last entries.
	kept = 20
	// Larger entries are left out.
	maxEntryBytes = 700
)

func main() {
	snapshots, err := filepath.Glob(filepath.Join(os.Args[1], "*.db.gz"))
	check(err)
	work, err := os.MkdirTemp("", "seeds")
	check(err)
	defer os.RemoveAll(work)
	for _, snapshot := range snapshots {
		name := strings.TrimSuffix(filepath.Base(snapshot), ".db.gz")
		whole := filepath.Join(work, name)
		check(os.WriteFile(whole, unpack(snapshot), 0o600))
		small := thinned(whole, 1024, name == "freelist")
		check(os.WriteFile(filepath.Join(os.Args[2], "verify", name+".db"), small, 0o600))
		if name == "freelist" {
			pages(thinned(whole, 4096, true), filepath.Join(os.Args[2], "page"))
		}
	}
}

// unpack returns the database in a compressed snapshot, without its checksum.
func unpack(path string) []byte {
	packed, err := os.Open(path)
	check(err)
	defer packed.Close()
	reader, err := gzip.NewReader(packed)
	check(err)
	content, err := io.ReadAll(reader)
	check(err)
	return content[:len(content)-sha256.Size]
}

// thinned returns a snapshot with a part of a database's entries. Where it keeps the list of free pages, some are free.
func thinned(path string, pageSize int, freelist bool) []byte {
	from, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true})
	check(err)
	defer from.Close()
	to, err := bolt.Open(fmt.Sprintf("%s.%d", path, pageSize), 0o600, &bolt.Options{PageSize: pageSize, NoFreelistSync: !freelist})
	check(err)
	defer to.Close()
	check(from.View(func(source *bolt.Tx) error {
		return to.Update(func(target *bolt.Tx) error {
			return source.ForEach(func(name []byte, entries *bolt.Bucket) error {
				bucket, err := target.CreateBucket(name)
				check(err)
				at, count := 0, entries.Stats().KeyN
				return entries.ForEach(func(key, value []byte) error {
					at++
					if (at > kept && at <= count-kept) || len(value) > maxEntryBytes {
						return nil
					}
					return bucket.Put(key, value)
				})
			})
		})
	}))
	if freelist {
		filler := []byte("filler")
		check(to.Update(func(tx *bolt.Tx) error { return tx.Bucket([]byte("meta")).Put(filler, make([]byte, 3*pageSize)) }))
		check(to.Update(func(tx *bolt.Tx) error { return tx.Bucket([]byte("meta")).Delete(filler) }))
	}
	var out bytes.Buffer
	check(to.View(func(tx *bolt.Tx) error {
		_, err := tx.WriteTo(&out)
		return err
	}))
	sum := sha256.Sum256(out.Bytes())
	return append(out.Bytes(), sum[:]...)
}

// pages writes every page of 4 KiB, called page 2 as the target has it, after the byte that stands for that size.
func pages(snapshot []byte, folder string) {
	const size = 4096
	for at := 0; at+size < len(snapshot); at += size {
		page := append([]byte{0}, snapshot[at:at+size]...)
		if at >= 2*size {
			copy(page[1:9], []byte{2, 0, 0, 0, 0, 0, 0, 0})
		}
		check(os.WriteFile(filepath.Join(folder, fmt.Sprintf("page-%d", at/size)), bytes.TrimRight(page, "\x00"), 0o600))
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
