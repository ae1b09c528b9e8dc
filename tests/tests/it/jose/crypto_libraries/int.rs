//! Integers of any size, for signatures that no library makes.

use std::{
    cmp::Ordering,
    ops::{Add, Mul, Rem, Sub},
};

use openssl::bn::{BigNum, BigNumContext};

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Int(pub(super) BigNum);

impl Int {
    /// Reads big-endian bytes.
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self(BigNum::from_slice(bytes).unwrap())
    }

    /// Reads little-endian bytes.
    pub(super) fn of_le(bytes: &[u8]) -> Self {
        Self::of(&bytes.iter().rev().copied().collect::<Vec<_>>())
    }

    pub(super) fn hex(text: &str) -> Self {
        Self(BigNum::from_hex_str(text).unwrap())
    }

    /// Returns 2 to this power.
    pub(super) fn bit(bit: usize) -> Self {
        let mut power = BigNum::new().unwrap();
        power.set_bit(i32::try_from(bit).unwrap()).unwrap();
        Self(power)
    }

    pub(super) fn bits(&self) -> usize {
        usize::try_from(self.0.num_bits()).unwrap()
    }

    /// Returns big-endian bytes of this length, or `None` if it needs more.
    pub(super) fn bytes(&self, length: usize) -> Option<Vec<u8>> {
        self.0.to_vec_padded(i32::try_from(length).unwrap()).ok()
    }

    pub(super) fn bytes_le(&self, length: usize) -> Option<Vec<u8>> {
        let mut bytes = self.bytes(length)?;
        bytes.reverse();
        Some(bytes)
    }

    pub(super) fn power(&self, exponent: &Self, modulus: &Self) -> Self {
        new(|result, context| result.mod_exp(&self.0, &exponent.0, &modulus.0, context))
    }

    /// Returns the inverse, or `None`.
    pub(super) fn inverse(&self, modulus: &Self) -> Option<Self> {
        let (mut result, mut context) = (BigNum::new().unwrap(), BigNumContext::new().unwrap());
        result.mod_inverse(&self.0, &modulus.0, &mut context).ok().map(|()| Self(result))
    }

    /// Returns the quotient, rounded down.
    pub(super) fn divided_by(&self, divisor: u32) -> Self {
        let mut quotient = self.clone();
        quotient.0.div_word(divisor).unwrap();
        quotient
    }

    pub(super) fn is_odd(&self) -> bool {
        self.0.is_bit_set(0)
    }

    pub(super) fn is_zero(&self) -> bool {
        self.0.num_bits() == 0
    }
}

fn new(
    make: impl FnOnce(&mut BigNum, &mut BigNumContext) -> Result<(), openssl::error::ErrorStack>,
) -> Int {
    let (mut result, mut context) = (BigNum::new().unwrap(), BigNumContext::new().unwrap());
    make(&mut result, &mut context).unwrap();
    Int(result)
}

impl Clone for Int {
    fn clone(&self) -> Self {
        Self(self.0.to_owned().unwrap())
    }
}

impl From<u64> for Int {
    fn from(value: u64) -> Self {
        Self::of(&value.to_be_bytes())
    }
}

impl PartialOrd for Int {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.0.cmp(&other.0))
    }
}

impl Add for &Int {
    type Output = Int;

    fn add(self, other: Self) -> Int {
        new(|result, _| result.checked_add(&self.0, &other.0))
    }
}

impl Sub for &Int {
    type Output = Int;

    fn sub(self, other: Self) -> Int {
        new(|result, _| result.checked_sub(&self.0, &other.0))
    }
}

impl Mul for &Int {
    type Output = Int;

    fn mul(self, other: Self) -> Int {
        new(|result, context| result.checked_mul(&self.0, &other.0, context))
    }
}

/// The result is never negative.
impl Rem for &Int {
    type Output = Int;

    fn rem(self, modulus: Self) -> Int {
        new(|result, context| result.nnmod(&self.0, &modulus.0, context))
    }
}
