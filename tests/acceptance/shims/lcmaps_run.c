// Asks LCMAPS which account the holder of a PEM credential on standard input gets, and prints its name.
//
// What LCMAPS reads itself: LCMAPS_DB_FILE, LCMAPS_POLICY_NAME, LCMAPS_LOG_FILE, X509_CERT_DIR, X509_VOMS_DIR.
#include <stdio.h>
#include <stdlib.h>

#include <lcmaps/lcmaps_types.h>
#include <lcmaps/lcmaps_account.h>
#include <lcmaps/lcmaps_basic.h>
#include <lcmaps/lcmaps_return_account_from_pem.h>

int main(void) {
  static char pem[1 << 20];
  lcmaps_account_info_t account;
  if (fread(pem, 1, sizeof pem - 1, stdin) == 0 || lcmaps_account_info_init(&account) != 0) return 2;
  if (lcmaps_return_account_from_pem(pem, -1, &account) != 0) return 1;
  struct passwd *entry = getpwuid(account.uid);
  return entry != NULL && puts(entry->pw_name) >= 0 ? 0 : 2;
}
