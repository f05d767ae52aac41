"""ttscache turns IAM tokens into the credentials that grid services take, and keeps them fresh where they are used."""
