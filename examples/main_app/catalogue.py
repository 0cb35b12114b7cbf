"""The products of the shop. Their prices are in payd's price list."""

CHAINS = {
    "ethereum-mainnet": "Ethereum",
    "base-mainnet": "Base",
    "arbitrum-one": "Arbitrum One",
    "tempo-mainnet": "Tempo",
}
NODE_TYPES = {"full": "Full node", "archive": "Archive node", "indexer": "Indexer"}
DURATIONS = {"1d": "1 day", "7d": "7 days", "30d": "30 days", "90d": "90 days", "365d": "1 year"}
