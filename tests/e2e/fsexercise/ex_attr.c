/* SPDX-License-Identifier: Apache-2.0 */
/* Extended attributes and ACLs. */
#include "fsexercise.h"

#include <endian.h>
#include <sys/xattr.h>

#define ACCESS_ACL  "system.posix_acl_access"
#define DEFAULT_ACL "system.posix_acl_default"

/* The kernel's format of an ACL as extended attribute. */
struct acl_entry {
	uint16_t tag, perm;
	uint32_t id;
};

struct acl {
	uint32_t version;
	struct acl_entry entries[8];
};

enum { USER_OBJ = 1, USER = 2, GROUP_OBJ = 4, GROUP = 8, MASK = 16, OTHER = 32 };

static int acl_set(const char *path, const char *kind, const struct acl_entry *entries, int n)
{
	struct acl acl = {.version = htole32(2)};

	for (int i = 0; i < n; i++) {
		acl.entries[i].tag = htole16(entries[i].tag);
		acl.entries[i].perm = htole16(entries[i].perm);
		acl.entries[i].id = htole32(entries[i].id);
	}
	return lsetxattr(path, kind, &acl, 4 + (size_t)n * sizeof(struct acl_entry), 0);
}

static const char *acl_text(const char *path, const char *kind)
{
	static char texts[4][256];
	static unsigned turn;
	char *text = texts[turn++ % 4];
	struct acl acl;
	size_t len = 0;
	ssize_t n = lgetxattr(path, kind, &acl, sizeof(acl));

	if (n < 0)
		return outcome(-1);
	text[0] = '\0';
	for (ssize_t i = 0; i < (n - 4) / (ssize_t)sizeof(struct acl_entry); i++) {
		unsigned tag = le16toh(acl.entries[i].tag);
		len += (size_t)snprintf(text + len, 256 - len, "%u:%d:%o ", tag,
			tag == USER || tag == GROUP ? (int)le32toh(acl.entries[i].id) : 0,
			le16toh(acl.entries[i].perm));
	}
	return text;
}

static const uint32_t none = (uint32_t)-1;

static int acl_as_user(void *arg)
{
	(void)arg;
	result("user: read by ACL", open("file", O_RDONLY) < 0 ? -1 : 0);
	result("user: write by ACL", open("file", O_WRONLY) < 0 ? -1 : 0);
	result("user: execute by ACL", access("file", X_OK));
	result("user: set an ACL on root's file", setxattr("file", ACCESS_ACL, "x", 1, 0));
	int fd = open("inherit/mine", O_CREAT | O_WRONLY, 0666);
	say("user: create below a default ACL", "%s, %s", outcome(fd), stat_text("inherit/mine"));
	return 0;
}

static int acl_sgid(void *arg)
{
	const struct acl_entry entries[] = {
		{USER_OBJ, 7, none}, {GROUP_OBJ, 5, none}, {OTHER, 5, none}};

	(void)arg;
	return acl_set("sgid", ACCESS_ACL, entries, 3) ? errno : 0;
}

static int acl_no_match(void *arg)
{
	(void)arg;
	return open("file", O_RDONLY) < 0 ? errno : 0;
}

void exercise_acl(void)
{
	const struct acl_entry user[] = {{USER_OBJ, 6, none}, {USER, 6, USER_ID},
		{GROUP_OBJ, 4, none}, {GROUP, 7, GROUP_ID}, {MASK, 6, none}, {OTHER, 0, none}};
	const struct acl_entry inherit[] = {{USER_OBJ, 7, none}, {USER, 7, USER_ID},
		{GROUP_OBJ, 5, none}, {MASK, 7, none}, {OTHER, 0, none}};
	const struct acl_entry minimal[] = {
		{USER_OBJ, 6, none}, {GROUP_OBJ, 0, none}, {OTHER, 4, none}};
	const struct acl_entry broken[] = {{USER_OBJ, 6, none}, {USER, 6, USER_ID}};

	put_file("file", "acl");
	chmod("file", 0600);
	int ret = acl_set("file", ACCESS_ACL, user, 6);
	result("set", ret);
	if (ret < 0)
		return;
	say("get", "%s", acl_text("file", ACCESS_ACL));
	say("mode shows the mask", "%s", stat_text("file"));
	mkdir("inherit", 0777);
	chmod("inherit", 0777);
	result("set default", acl_set("inherit", DEFAULT_ACL, inherit, 5));
	say("get default", "%s", acl_text("inherit", DEFAULT_ACL));
	say("user", "ended with %d", run_as(USER_ID, USER_ID, acl_as_user, NULL));
	say("inherited", "%s", acl_text("inherit/mine", ACCESS_ACL));
	ret = run_as(OTHER_ID, OTHER_ID, acl_no_match, NULL);
	say("other user in the group", "%s", ret ? strerrorname_np(ret) : "ok");
	umask(077);
	put_file("inherit/file", "");
	say("umask does not matter then", "%s, %s", stat_text("inherit/file"),
		acl_text("inherit/file", ACCESS_ACL));
	mkdir("inherit/dir", 0700);
	say("directory inherits both", "%s, %s", acl_text("inherit/dir", ACCESS_ACL),
		acl_text("inherit/dir", DEFAULT_ACL));
	mkfifo("inherit/fifo", 0666);
	say("fifo", "%s", acl_text("inherit/fifo", ACCESS_ACL));
	umask(022);
	chmod("file", 0640);
	say("chmod changes the mask", "%s", acl_text("file", ACCESS_ACL));
	chmod("file", 0604);
	say("chmod changes the rest", "%s", acl_text("file", ACCESS_ACL));
	result("minimal ACL", acl_set("file", ACCESS_ACL, minimal, 3));
	say("is only a mode", "%s, %s", stat_text("file"), acl_text("file", ACCESS_ACL));
	result("broken ACL", acl_set("file", ACCESS_ACL, broken, 2));
	result("default ACL on a file", acl_set("file", DEFAULT_ACL, inherit, 5));
	result("remove default", removexattr("inherit", DEFAULT_ACL));
	say("gone", "%s", acl_text("inherit", DEFAULT_ACL));
	result("remove access", removexattr("inherit/mine", ACCESS_ACL));
	say("gone", "%s, %s", acl_text("inherit/mine", ACCESS_ACL), stat_text("inherit/mine"));
	symlink("file", "link");
	result("on a symlink", acl_set("link", ACCESS_ACL, minimal, 3));
	put_file("sgid", "");
	need(chown("sgid", USER_ID, FOREIGN_ID) == 0, "chown");
	need(chmod("sgid", 02755) == 0, "chmod");
	ret = run_as(USER_ID, USER_ID, acl_sgid, NULL);
	say("set-group-ID of a foreign group", "%s, %o", ret ? strerrorname_np(ret) : "ok",
		mode_of("sgid"));
}

static int xattr_as_user(void *arg)
{
	char list[4096];

	(void)arg;
	result("user: user.* on root's file", setxattr("file", "user.x", "1", 1, 0));
	result("user: trusted.*", setxattr("mine", "trusted.x", "1", 1, 0));
	result("user: read trusted.*", getxattr("file", "trusted.x", list, sizeof(list)));
	result("user: security.capability", setxattr("mine", "security.capability", "1", 1, 0));
	result("user: user.* on his", setxattr("mine", "user.x", "1", 1, 0));
	ssize_t n = listxattr("file", list, sizeof(list));
	bool trusted = false;
	for (ssize_t i = 0; i < n; i += (ssize_t)strlen(list + i) + 1)
		trusted |= !strncmp(list + i, "trusted.", 8);
	say("user: list shows trusted.*", "%d", trusted);
	return 0;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void say_list(const char *operation, const char *path)
{
	static char list[65536];
	char *names[64];
	size_t n_names = 0, len = 0;
	char text[1024] = "";
	ssize_t n = llistxattr(path, list, sizeof(list));

	for (ssize_t i = 0; i < n && n_names < 64; i += (ssize_t)strlen(list + i) + 1)
		names[n_names++] = list + i;
	qsort(names, n_names, sizeof(names[0]), compare);
	for (size_t i = 0; i < n_names; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s ", names[i]);
	say(operation, "%s", n < 0 ? outcome(-1) : text);
}

void exercise_xattr(void)
{
	static char big[65537];
	char buf[256] = "", name[300];

	put_file("file", "x");
	put_file("mine", "x");
	need(chown("mine", USER_ID, USER_ID) == 0, "chown");
	int ret = setxattr("file", "user.one", "value", 5, 0);
	result("set", ret);
	if (ret < 0)
		return;
	result("get", getxattr("file", "user.one", buf, sizeof(buf)));
	say("value", "%s", buf);
	result("size", getxattr("file", "user.one", NULL, 0));
	result("too small a buffer", getxattr("file", "user.one", buf, 2));
	result("missing", getxattr("file", "user.none", buf, sizeof(buf)));
	result("CREATE existing", setxattr("file", "user.one", "x", 1, XATTR_CREATE));
	result("REPLACE missing", setxattr("file", "user.two", "x", 1, XATTR_REPLACE));
	result("CREATE", setxattr("file", "user.two", "x", 1, XATTR_CREATE));
	result("REPLACE", setxattr("file", "user.two", "longer", 6, XATTR_REPLACE));
	result("empty value", setxattr("file", "user.empty", "", 0, 0));
	result("binary value", setxattr("file", "user.bin", "\0\1\2", 3, 0));
	result("get empty", getxattr("file", "user.empty", buf, sizeof(buf)));
	result("trusted", setxattr("file", "trusted.x", "t", 1, 0));
	result("security", setxattr("file", "security.x", "s", 1, 0));
	say_list("list", "file");
	result("list size", listxattr("file", NULL, 0));
	result("list in too small a buffer", listxattr("file", buf, 3));
	result("remove", removexattr("file", "user.two"));
	result("remove again", removexattr("file", "user.two"));
	result("unknown namespace", setxattr("file", "nonsense.x", "x", 1, 0));
	result("no name behind the dot", setxattr("file", "user.", "x", 1, 0));
	result("no namespace", setxattr("file", "x", "x", 1, 0));
	memset(name, 'n', sizeof(name));
	memcpy(name, "user.", 5);
	name[255] = '\0';
	result("name of 255 bytes", setxattr("file", name, "x", 1, 0));
	name[255] = 'n';
	name[256] = '\0';
	result("name of 256 bytes", setxattr("file", name, "x", 1, 0));
	memset(big, 'b', sizeof(big));
	result("value of 2000 bytes", setxattr("file", "user.big", big, 2000, 0));
	result("get it", getxattr("file", "user.big", big, 65536));
	result("value of 65537 bytes", setxattr("file", "user.huge", big, 65537, 0));
	symlink("file", "link");
	result("user.* on a symlink", lsetxattr("link", "user.x", "x", 1, 0));
	result("trusted.* on a symlink", lsetxattr("link", "trusted.x", "x", 1, 0));
	say_list("list of a symlink", "link");
	mkfifo("fifo", 0666);
	result("user.* on a fifo", setxattr("fifo", "user.x", "x", 1, 0));
	mkdir("dir", 0755);
	result("user.* on a directory", setxattr("dir", "user.x", "x", 1, 0));
	int fd = open("file", O_RDONLY);
	result("fgetxattr", fgetxattr(fd, "user.one", buf, sizeof(buf)));
	result("fsetxattr", fsetxattr(fd, "user.fd", "x", 1, 0));
	close(fd);
	say("user", "ended with %d", run_as(USER_ID, USER_ID, xattr_as_user, NULL));
	say_list("list of his", "mine");
}
