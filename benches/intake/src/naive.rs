//! Naive: the contestant that most services are: a pool of connections and one transaction for each request.
//!
//! Never: authenticates, decides or audits; it is the floor that a group commit is measured against.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use actix_web::web::{Bytes, Data, PayloadConfig, post};
use actix_web::{App, HttpResponse, HttpServer};
use serde::Deserialize;
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

/// Connections of its pool.
const POOL: u32 = 10;

#[derive(Debug, Deserialize)]
struct Body {
    alerts: Vec<Alert>,
}

#[derive(Debug, Deserialize)]
struct Alert {
    fingerprint: String,
    status: String,
}

async fn store(pool: &SqlitePool, bytes: &[u8]) -> Result<String, sqlx::Error> {
    let body: Body = serde_json::from_slice(bytes).map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
    let id = uuid::Uuid::now_v7().to_string();
    let now = crate::machine::wall().as_millisecond();
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::query("INSERT INTO delivery (id, received_at, alerts) VALUES (?, ?, ?)")
        .bind(&id)
        .bind(now)
        .bind(i64::try_from(body.alerts.len()).unwrap_or(i64::MAX))
        .execute(&mut *tx)
        .await?;
    for alert in &body.alerts {
        sqlx::query(
            "INSERT INTO alert (fingerprint, status, seen_at, times) VALUES (?, ?, ?, 1)
             ON CONFLICT (fingerprint) DO UPDATE SET status = excluded.status, seen_at = excluded.seen_at, times = times + 1",
        )
        .bind(&alert.fingerprint)
        .bind(&alert.status)
        .bind(now)
        .execute(&mut *tx)
        .await?;
    }
    tx.commit().await?;
    Ok(id)
}

async fn take(pool: Data<SqlitePool>, bytes: Bytes) -> HttpResponse {
    match store(&pool, &bytes).await {
        Ok(id) => HttpResponse::Accepted().json(serde_json::json!({ "deliveryId": id })),
        Err(error) => HttpResponse::ServiceUnavailable().body(error.to_string()),
    }
}

/// Serves until it is killed.
pub(crate) fn serve(listen: SocketAddr, path: &Path) -> std::io::Result<()> {
    actix_web::rt::System::new().block_on(async move {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(30));
        let pool = SqlitePoolOptions::new().max_connections(POOL).connect_with(options).await;
        let pool = pool.map_err(std::io::Error::other)?;
        for table in [
            "CREATE TABLE delivery (id TEXT PRIMARY KEY, received_at INTEGER NOT NULL, alerts INTEGER NOT NULL) STRICT",
            "CREATE TABLE alert (fingerprint TEXT PRIMARY KEY, status TEXT NOT NULL, seen_at INTEGER NOT NULL,
               times INTEGER NOT NULL) STRICT",
        ] {
            sqlx::query(table).execute(&pool).await.map_err(std::io::Error::other)?;
        }
        let app = move || {
            App::new()
                .app_data(Data::new(pool.clone()))
                .app_data(PayloadConfig::new(4 * 1024 * 1024))
                .route("/", post().to(take))
        };
        HttpServer::new(app).bind(listen)?.run().await
    })
}
