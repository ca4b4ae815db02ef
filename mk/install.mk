# SPDX-License-Identifier: Apache-2.0
# The guest kernel, installation, cleaning.

# Where hvrun looks: beside itself, then ../libexec/hvrun.
LIBEXECDIR	:= $(PREFIX)/libexec/hvrun
MANDIR		?= $(PREFIX)/share/man
man_pages	:= $(wildcard man/*.1 man/*.8)

.PHONY: kernel install uninstall clean

# Cached outside the tree by content: the second time this is only a link.
kernel:
	kernel-config/build $(O)/vmlinux

# Installs the kernel too where it was built; `hvrun` says how to get one where it was not.
install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(LIBEXECDIR)
	install -m 755 $(O)/hvrun $(DESTDIR)$(PREFIX)/bin/hvrun
	install -m 755 $(O)/hvrun-vmm $(O)/hvrun-fs $(O)/guestinit $(DESTDIR)$(LIBEXECDIR)/
	if [ -e $(O)/vmlinux ]; then install -m 644 $(O)/vmlinux $(DESTDIR)$(LIBEXECDIR)/vmlinux; fi
	for page in $(man_pages); do \
		install -D -m 644 $$page $(DESTDIR)$(MANDIR)/man$${page##*.}/$${page##*/} || exit 1; \
	done

uninstall:
	rm -rf $(DESTDIR)$(LIBEXECDIR)
	rm -f $(DESTDIR)$(PREFIX)/bin/hvrun
	for page in $(man_pages); do rm -f $(DESTDIR)$(MANDIR)/man$${page##*.}/$${page##*/}; done

# The caches under ~/.cache/hvrun stay: kernel, fixtures.
clean:
	rm -rf $(O)
