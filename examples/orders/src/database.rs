//! Users, roles and orders in SQLite. Queries run on actix's threads for blocking work.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use actix_web::web;
use oauth2_actix::{Claims, PrincipalError};
use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A database in memory.
#[derive(Clone, Debug)]
pub struct Database(Arc<Mutex<Connection>>);

/// Why a query has no result.
#[derive(Debug)]
pub struct DatabaseError(String);

impl fmt::Display for DatabaseError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for DatabaseError {}

impl actix_web::ResponseError for DatabaseError {}

/// A user of the service.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct User {
    /// The subject of the user's tokens.
    pub subject: String,
    /// The name to display.
    pub name: String,
}

/// An order.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Order {
    /// The number of the order.
    pub id: i64,
    /// What was ordered.
    pub item: String,
}

/// The content of an order.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewOrder {
    /// What is ordered.
    pub item: String,
}

/// Users and the roles that they have in this service.
const SCHEMA: &str = "
    CREATE TABLE users (subject TEXT PRIMARY KEY, name TEXT NOT NULL, is_blocked INTEGER NOT NULL);
    CREATE TABLE roles (subject TEXT NOT NULL, role TEXT NOT NULL, PRIMARY KEY (subject, role));
    CREATE TABLE orders (id INTEGER PRIMARY KEY, item TEXT NOT NULL, refunded INTEGER NOT NULL DEFAULT 0);
    INSERT INTO users VALUES ('ann', 'Ann', 0), ('bob', 'Bob', 0), ('eve', 'Eve', 1);
    INSERT INTO roles VALUES ('ann', 'refunds');
    INSERT INTO orders (item) VALUES ('chair'), ('table');
";

impl Database {
    /// Creates the tables with some rows.
    ///
    /// # Errors
    ///
    /// SQLite's error.
    pub fn new() -> Result<Self, DatabaseError> {
        let connection = Connection::open_in_memory().map_err(error)?;
        connection.execute_batch(SCHEMA).map_err(error)?;
        Ok(Self(Arc::new(Mutex::new(connection))))
    }

    async fn query<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, DatabaseError> {
        let connection = Arc::clone(&self.0);
        let result =
            web::block(move || query(&connection.lock().unwrap_or_else(PoisonError::into_inner)));
        result.await.map_err(error)?.map_err(error)
    }

    /// Returns all users.
    ///
    /// # Errors
    ///
    /// SQLite's error.
    pub async fn users(&self) -> Result<Vec<User>, DatabaseError> {
        self.query(|connection| {
            let mut statement =
                connection.prepare("SELECT subject, name FROM users ORDER BY subject")?;
            statement
                .query_map([], |row| Ok(User { subject: row.get(0)?, name: row.get(1)? }))?
                .collect()
        })
        .await
    }

    /// Returns a user, and whether it is blocked.
    ///
    /// # Errors
    ///
    /// SQLite's error.
    pub async fn user(&self, subject: String) -> Result<Option<(User, bool)>, DatabaseError> {
        self.query(move |connection| {
            connection
                .query_row(
                    "SELECT name, is_blocked FROM users WHERE subject = ?1",
                    params![subject],
                    |row| Ok((row.get(0)?, row.get(1)?)),
                )
                .optional()
                .map(|found| found.map(|(name, is_blocked)| (User { subject, name }, is_blocked)))
        })
        .await
    }

    /// Returns whether a user has a role.
    ///
    /// # Errors
    ///
    /// SQLite's error.
    pub async fn has_role(
        &self,
        subject: String,
        role: &'static str,
    ) -> Result<bool, DatabaseError> {
        self.query(move |connection| {
            connection
                .prepare("SELECT 1 FROM roles WHERE subject = ?1 AND role = ?2")?
                .exists(params![subject, role])
        })
        .await
    }

    /// Returns all orders, or those that were refunded.
    ///
    /// # Errors
    ///
    /// SQLite's error.
    pub async fn orders(&self, only_refunded: bool) -> Result<Vec<Order>, DatabaseError> {
        self.query(move |connection| {
            let mut statement = connection.prepare(
                "SELECT id, item FROM orders WHERE refunded OR NOT ?1 ORDER BY id LIMIT 100",
            )?;
            statement
                .query_map(params![only_refunded], |row| {
                    Ok(Order { id: row.get(0)?, item: row.get(1)? })
                })?
                .collect()
        })
        .await
    }

    /// Returns an order.
    ///
    /// # Errors
    ///
    /// SQLite's error.
    pub async fn order(&self, id: i64) -> Result<Option<Order>, DatabaseError> {
        self.query(move |connection| {
            connection
                .query_row("SELECT id, item FROM orders WHERE id = ?1", params![id], |row| {
                    Ok(Order { id: row.get(0)?, item: row.get(1)? })
                })
                .optional()
        })
        .await
    }

    /// Adds an order.
    ///
    /// # Errors
    ///
    /// SQLite's error.
    pub async fn add(&self, item: String) -> Result<Order, DatabaseError> {
        self.query(move |connection| {
            connection.execute("INSERT INTO orders (item) VALUES (?1)", params![item])?;
            Ok(Order { id: connection.last_insert_rowid(), item })
        })
        .await
    }

    /// Changes an order. Returns false if there is none with this number.
    ///
    /// # Errors
    ///
    /// SQLite's error.
    pub async fn replace(&self, id: i64, item: String) -> Result<bool, DatabaseError> {
        self.query(move |connection| {
            connection.execute("UPDATE orders SET item = ?2 WHERE id = ?1", params![id, item])
        })
        .await
        .map(|changed| changed > 0)
    }

    /// Removes an order. Returns false if there is none with this number.
    ///
    /// # Errors
    ///
    /// SQLite's error.
    pub async fn remove(&self, id: i64) -> Result<bool, DatabaseError> {
        self.query(move |connection| {
            connection.execute("DELETE FROM orders WHERE id = ?1", params![id])
        })
        .await
        .map(|removed| removed > 0)
    }

    /// Refunds an order. Returns false if there is none with this number.
    ///
    /// # Errors
    ///
    /// SQLite's error.
    pub async fn refund(&self, id: i64) -> Result<bool, DatabaseError> {
        self.query(move |connection| {
            connection.execute("UPDATE orders SET refunded = 1 WHERE id = ?1", params![id])
        })
        .await
        .map(|refunded| refunded > 0)
    }
}

/// Loads the user of a token. An error of the database becomes 503.
///
/// # Errors
///
/// 401 for an unknown subject, 403 for a blocked user.
pub async fn load_user(database: Database, claims: Claims) -> Result<User, PrincipalError> {
    let subject = claims.subject().unwrap_or_default().to_owned();
    match database.user(subject).await? {
        Some((user, false)) => Ok(user),
        Some((_, true)) => Err(PrincipalError::forbidden("the user is blocked")),
        None => Err(PrincipalError::unauthorized("no user has this subject")),
    }
}

fn error(error: impl fmt::Display) -> DatabaseError {
    DatabaseError(error.to_string())
}
